package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bulkhead-dev/bulkhead/test/actors"
)

const (
	// wantedRefreshes is how many refreshes of one token are watched.
	wantedRefreshes = 2
	// claimInterval is how often a claim is made meanwhile.
	claimInterval = 3 * time.Second
)

func (s *story) watchRefresh(ctx context.Context) error {
	old, err := s.shop.Token(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, 3*tokenLife)
	defer cancel()
	refreshes, claims, failures := 0, 0, []error(nil)
	for last := old; refreshes < wantedRefreshes; {
		claim := s.shop.Claim(fmt.Sprintf("order-%02d", claims), actors.CSIClass)
		if _, err := s.shop.MakeBound(ctx, claim); err != nil {
			failures = append(failures, err)
		}
		claims++
		current, err := s.shop.Token(ctx)
		if err != nil {
			return err
		}
		if current != last {
			refreshes++
			last = current
			s.say("%3.0f s: the token of shop was replaced, %d claims made so far", time.Since(began).Seconds(), claims)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d refreshes within %v: %w", refreshes, time.Since(began), ctx.Err())
		case <-time.After(claimInterval):
		}
	}
	s.check(fmt.Sprintf("%d refreshes passed", refreshes), nil)
	s.check(fmt.Sprintf("none of %d claims made meanwhile failed", claims), errors.Join(failures...))

	oldBearer, err := actors.NewBearer(s.env.Storage, old)
	if err != nil {
		return err
	}
	s.refusedByStorage("the first token is refused by now", oldBearer.Accepted(ctx))
	current, err := s.shop.Token(ctx)
	if err != nil {
		return err
	}
	bearer, err := actors.NewBearer(s.env.Storage, current)
	if err != nil {
		return err
	}
	s.check("the newest is accepted", bearer.Accepted(ctx))
	return nil
}
