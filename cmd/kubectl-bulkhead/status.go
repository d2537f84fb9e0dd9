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
			"Exit codes: 0 all is well, 1 there are problems, 2 it did not work, or not everything could\n" +
			"be read.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			cfg, done, err := statusConfig(cmd.Context(), c)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, done()) }()
			look := func(ctx context.Context) (*status.Report, error) {
				cfg.Now = time.Now()
				return status.Look(ctx, cfg)
			}
			show := func(report *status.Report) error {
				table := func(w io.Writer) error { return report.Print(w, cfg.Now) }
				return output.Print(cmd.OutOrStdout(), format, report, table)
			}
			if watch {
				return again(cmd, format, interval, look, show)
			}
			report, err := look(cmd.Context())
			if err != nil {
				return err
			}
			if err := show(report); err != nil {
				return err
			}
			switch {
			case report.HasProblems():
				return errFindings
			case len(report.Unread) > 0:
				return errIncomplete
			}
			return nil
		},
	}
	f := cmd.Flags()
	formatFlag(cmd, &format)
	f.BoolVarP(&watch, "watch", "w", false, "show it again and again")
	f.DurationVar(&interval, "interval", 5*time.Second, "with --watch: how often") //nolint:mnd // the default says what it is
	return cmd
}

// often bounds how often the API server is asked.
const often = time.Second

// again shows it again and again, until it is stopped. What does not answer for a
// while is said, and asked again.
func again(cmd *cobra.Command, format output.Format, interval time.Duration,
	look func(context.Context) (*status.Report, error), show func(*status.Report) error,
) error {
	if interval < often {
		return fmt.Errorf("--interval %s: want %s or more", interval, often)
	}
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	for shown := false; ; {
		report, err := look(ctx)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // stopped, as it is to be
		case err != nil && !shown:
			return err
		case err != nil:
			fmt.Fprintln(cmd.ErrOrStderr(), output.Plain(err.Error()))
		default:
			switch {
			case output.IsTerminal(out):
				fmt.Fprint(out, "\x1b[H\x1b[2J") // home, clear
			case format == output.YAML && shown:
				fmt.Fprintln(out, "---")
			}
			if err := show(report); err != nil {
				return err
			}
			shown = true
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(interval):
		}
	}
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
