// Command playground runs the clusters of package cluster until told to stop.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func main() {
	// SIGHUP, too: closing the terminal during `up` must end what was started.
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	var cfg config
	root := &cobra.Command{
		Use:           "playground",
		Short:         "A storage cluster and compute clusters with Bulkhead, on loopback",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().StringVar(&cfg.dir, "dir", ".run", "run folder, with logs and the file env")
	up := &cobra.Command{
		Use: "up", Short: "Start a playground and leave it running", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runUp(cmd.Context(), cfg, cmd.OutOrStdout()) },
	}
	hold := &cobra.Command{
		Use: "hold", Short: "What up leaves running", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runHold(cmd.Context(), cfg, cmd.OutOrStdout()) },
	}
	for _, cmd := range []*cobra.Command{up, hold} {
		cmd.Flags().StringSliceVar(&cfg.clusters, "clusters", []string{"k14c1", "k14c2"}, "names of the compute clusters")
		cmd.Flags().DurationVar(&cfg.tokenLife, "token-life", time.Hour, "life of the storage tokens")
	}
	root.AddCommand(up, hold,
		&cobra.Command{
			Use: "down", Short: "End the playground", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return runDown(cmd.Context(), cfg, cmd.OutOrStdout()) },
		},
		&cobra.Command{
			Use: "build", Short: "Only build what a playground runs", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return runBuild(cmd.Context(), cmd.OutOrStdout()) },
		})
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "playground:", err)
		os.Exit(1) //nolint:gocritic // cancel has nothing left to do
	}
}
