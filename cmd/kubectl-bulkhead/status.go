package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"

	"github.com/bulkhead-dev/bulkhead/plugin/output"
	"github.com/bulkhead-dev/bulkhead/plugin/status"
)

func statusCommand(c *connection) *cobra.Command {
	var (
		format   = output.Table
		watch    bool
		interval time.Duration
	)
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show each namespace's token, and the parts that keep it fresh",
		Long: "Shows each namespace's tenant, subject, token and volumes, and how the sidecar, the issuer and the webhook\n" +
			"fare. It reads no token.\n\n" +
			"Exit codes: 0 all is well, 1 there are problems, 2 it did not work.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			cfg, done, err := statusConfig(cmd.Context(), c)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, done()) }()
			for {
				cfg.Now = time.Now()
				report, err := status.Look(cmd.Context(), cfg)
				if err != nil {
					return err
				}
				out := cmd.OutOrStdout()
				if watch && output.IsTerminal(out) {
					fmt.Fprint(out, "\x1b[H\x1b[2J") // home, clear
				}
				table := func(w io.Writer) error { return report.Print(w, cfg.Now) }
				if err := output.Print(out, format, report, table); err != nil {
					return err
				}
				switch {
				case watch:
				case report.HasProblems():
					return errFindings
				default:
					return nil
				}
				select {
				case <-cmd.Context().Done():
					return nil
				case <-time.After(interval):
				}
			}
		},
	}
	f := cmd.Flags()
	f.VarP(&format, "output", "o", "table, json or yaml")
	f.BoolVarP(&watch, "watch", "w", false, "show it again and again")
	f.DurationVar(&interval, "interval", 5*time.Second, "with --watch: how often") //nolint:mnd // the default says what it is
	return cmd
}

func statusConfig(ctx context.Context, c *connection) (cfg status.Config, done func() error, err error) {
	config, err := c.config()
	if err != nil {
		return cfg, nil, err
	}
	if cfg.Client, err = kubernetes.NewForConfig(config); err != nil {
		return cfg, nil, fmt.Errorf("client: %w", err)
	}
	if cfg.Metadata, err = metadata.NewForConfig(config); err != nil {
		return cfg, nil, fmt.Errorf("client: %w", err)
	}
	if cfg.Installation, err = c.installation(ctx); err != nil {
		return cfg, nil, err
	}
	cfg.Namespace = c.namespace()
	return cfg, cfg.Installation.Close, nil
}
