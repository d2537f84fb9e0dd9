package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// goneTimeout is far above what stopping takes, which is five seconds.
const goneTimeout = 30 * time.Second

// runDown ends the playground and returns when the last of its processes is
// gone.
func runDown(ctx context.Context, cfg config, out io.Writer) error {
	cfg, err := cfg.absolute()
	if err != nil {
		return err
	}
	pid, err := cfg.holder()
	if err != nil {
		return err
	}
	if pid == 0 {
		fmt.Fprintln(out, "no playground runs in", cfg.dir)
		return nil
	}
	if err := terminate(pid); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, goneTimeout, fmt.Errorf("not within %v", goneTimeout))
	defer cancel()
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	for {
		left, err := cluster.Leftovers(cfg.dir)
		if err != nil {
			return err
		}
		if len(left) == 0 && !cfg.holds(pid) {
			fmt.Fprintln(out, "the playground is gone; its logs stay in", cfg.dir)
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the playground to end: %w; still there: %v", context.Cause(ctx), append(left, pid))
		case <-ticker.C:
		}
	}
}
