package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// clockFile says how far the clock of a process is off, as time.Duration prints it.
// The process is this program in the part of one of the product: see component.go.
type clockFile string

func (f clockFile) set(shift time.Duration) error {
	unfinished := string(f) + ".unfinished"
	if err := os.WriteFile(unfinished, []byte(shift.String()), 0o600); err != nil {
		return fmt.Errorf("shift a clock: %w", err)
	}
	if err := os.Rename(unfinished, string(f)); err != nil {
		return fmt.Errorf("shift a clock: %w", err)
	}
	return nil
}

// shiftable is what runs instead of a component so that its clock can be shifted.
func (s *site) shiftable(component, name string) (cluster.Substitute, error) {
	self, err := os.Executable()
	if err != nil {
		return cluster.Substitute{}, fmt.Errorf("find this program: %w", err)
	}
	file := clockFile(filepath.Join(s.env.Dir, name+".clock"))
	s.clocks[name] = file
	return cluster.Substitute{Path: self, Args: []string{componentCommand, component, "--clock-file=" + string(file)}}, file.set(0)
}

// shiftIssuer shifts the clock of the first replica of the issuer, while it runs.
func shiftIssuer(_ context.Context, s *site, f fault) (func(context.Context) error, error) {
	return s.shift("issuer", f.Amount)
}

// shiftSidecar is the same with that of the cluster's sidecar.
func shiftSidecar(_ context.Context, s *site, f fault) (func(context.Context) error, error) {
	return s.shift(f.Lane, f.Amount)
}

func (s *site) shift(name string, by time.Duration) (func(context.Context) error, error) {
	file := s.clocks[name]
	return func(context.Context) error { return file.set(0) }, file.set(by)
}

// clock is that of a process whose file is followed.
type clock struct{ shift atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.shift.Load())) }

// follow reads the file until ctx ends.
func (c *clock) follow(ctx context.Context, file string) {
	const interval = 100 * time.Millisecond
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if raw, err := os.ReadFile(file); err == nil {
			if shift, err := time.ParseDuration(string(raw)); err == nil {
				c.shift.Store(int64(shift))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
