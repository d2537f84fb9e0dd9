// Command kubectl-bulkhead is the kubectl plugin of cluster admins.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	root := &cobra.Command{
		Use:           "kubectl-bulkhead",
		Short:         "Look after Bulkhead in this cluster",
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl bulkhead"},
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(registerCommand())
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "kubectl bulkhead:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to clean up
	}
}
