// Command kubectl-bulkhead is the kubectl plugin of cluster admins.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/cmd/internal/command"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	root := &cobra.Command{
		Use:           "kubectl-bulkhead",
		Short:         "Look after Bulkhead in this cluster",
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl bulkhead"},
		Version:       command.Version(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(registerCommand())
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "kubectl bulkhead:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to clean up
	}
}
