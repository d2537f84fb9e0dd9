package main

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// load is what clients met that asked all at once, each one thing after another.
type load struct {
	// took is how long each answer took, the shortest first.
	took []time.Duration
	wall time.Duration
}

// ask has so many clients ask for a while. Each question has a number of its own,
// from zero. The first error ends it.
func ask(ctx context.Context, clients int, span time.Duration, question func(ctx context.Context, number int) error) (load, error) {
	var (
		all  load
		next atomic.Int64
		mu   sync.Mutex
	)
	began := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for range clients {
		group.Go(func() error {
			var took []time.Duration
			for time.Since(began) < span {
				start := time.Now()
				if err := question(ctx, int(next.Add(1)-1)); err != nil {
					return err
				}
				took = append(took, time.Since(start))
			}
			mu.Lock()
			defer mu.Unlock()
			all.took = append(all.took, took...)
			return nil
		})
	}
	err := group.Wait()
	all.wall = time.Since(began)
	slices.Sort(all.took)
	return all, err
}

// each is the time of the clock for one answer.
func (l load) each() time.Duration { return l.wall / time.Duration(len(l.took)) }

// quantile is the time within which such a part of the answers came.
func (l load) quantile(part float64) time.Duration {
	return l.took[min(int(part*float64(len(l.took))), len(l.took)-1)]
}

// inTurn does n things, numbered from zero, as many at once as there are workers.
func inTurn(ctx context.Context, workers, n int, do func(ctx context.Context, number int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range workers {
		group.Go(func() error {
			for number := int(next.Add(1) - 1); number < n; number = int(next.Add(1) - 1) {
				if err := do(ctx, number); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}
