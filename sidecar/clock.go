package sidecar

import (
	"context"
	"time"

	"k8s.io/klog/v2"
)

const (
	// clockInterval is how often the clock is looked at, and clockLeap how far
	// it may go beyond what has passed before that is a leap.
	clockInterval = 5 * time.Second
	clockLeap     = 2 * time.Second
)

// watchClock calls leapt when the clock does not go on with time: it was set, or
// the machine slept. Timers that were set before then ring at the wrong moment.
func watchClock(ctx context.Context, now func() time.Time, leapt func()) {
	ticker := time.NewTicker(clockInterval)
	defer ticker.Stop()
	started, clock := time.Now(), now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		passed := time.Since(started) // by the monotonic clock
		// Round takes the monotonic reading off, so that this is the wall clock.
		leap := now().Round(0).Sub(clock.Round(0)) - passed
		if leap.Abs() < clockLeap {
			continue
		}
		klog.FromContext(ctx).Info("The clock leapt; looking at every token", "by", leap.Round(time.Second))
		started, clock = time.Now(), now()
		leapt()
	}
}

// passes waits, and reports whether ctx still goes on.
func passes(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
