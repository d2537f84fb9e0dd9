package main

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// startPatience is how long a process may fail to start, as it does while what it
// needs to start is befallen by another fault; a kubelet would try again, too.
const startPatience = 2 * time.Minute

// kill ends processes with SIGKILL and starts them again, with the same addresses
// and the same data.
func kill(what part) func(context.Context, *site, fault) (func(context.Context) error, error) {
	return func(_ context.Context, s *site, f fault) (func(context.Context) error, error) {
		processes := what.hit(s, f)
		for _, p := range processes {
			p.Kill()
		}
		return func(ctx context.Context) error {
			group, ctx := errgroup.WithContext(ctx)
			for _, p := range processes {
				group.Go(func() error { return startAgain(ctx, p) })
			}
			return group.Wait()
		}, nil
	}
}

func startAgain(ctx context.Context, p *cluster.Process) error {
	return cluster.Poll(ctx, startPatience, func(ctx context.Context) error {
		err := p.Start(ctx)
		if err != nil && p.Running() {
			// It may be ready later; whether all works again is asked elsewhere.
			return nil
		}
		return errors.Join(err, ctx.Err())
	})
}
