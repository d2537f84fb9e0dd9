package main

import (
	"context"
	"time"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

const (
	// warmUp is how long a process has run when it is first measured: by then its
	// caches are filled and it has done each thing once.
	warmUp = time.Minute
	// growthInterval is how often a process is measured.
	growthInterval = 5 * time.Second

	// What a process may have more at the end than when it was warm. Goroutines come
	// two to a connection, and a few connections come and go. The heap of a Go
	// program may grow to twice what lives before it is collected, which half of it
	// is already when it is measured in the middle of that.
	goroutinesTimes, goroutinesMore = 1.25, 20
	memoryTimes, memoryMore         = 1.5, 32 << 20
)

// growth measures the product's processes. A process that was killed begins anew.
type growth struct {
	processes []*cluster.Process
	bounded   *check
	of        map[*cluster.Process]*life
}

// life is one run of a process.
type life struct {
	id         int
	since      time.Time
	warm, last usage
}

// usage is zero if it was not measured.
type usage struct{ goroutines, bytes float64 }

func newGrowth(processes []*cluster.Process, bounded *check) *growth {
	return &growth{processes: processes, bounded: bounded, of: map[*cluster.Process]*life{}}
}

// watch measures until ctx ends.
func (g *growth) watch(ctx context.Context) {
	ticker := time.NewTicker(growthInterval)
	defer ticker.Stop()
	for {
		for _, p := range g.processes {
			g.measure(ctx, p)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (g *growth) measure(ctx context.Context, p *cluster.Process) {
	id := p.PID()
	l := g.of[p]
	if l == nil || l.id != id {
		l = &life{id: id, since: time.Now()}
		g.of[p] = l
	}
	used, err := use(ctx, p)
	if err != nil || p.PID() != id {
		return // it is frozen, or has just gone
	}
	if time.Since(l.since) < warmUp {
		return
	}
	if l.warm == (usage{}) {
		l.warm = used
	}
	l.last = used
}

func use(ctx context.Context, p *cluster.Process) (usage, error) {
	goroutines, err := p.Metric(ctx, "go_goroutines")
	if err != nil {
		return usage{}, err
	}
	bytes, err := p.Metric(ctx, "process_resident_memory_bytes")
	return usage{goroutines, bytes}, err
}

// judge compares, after a last measurement, each process with what it was when it
// was warm.
func (g *growth) judge(ctx context.Context) {
	for _, p := range g.processes {
		g.measure(ctx, p)
		l := g.of[p]
		if l == nil || l.warm == (usage{}) {
			continue // it was started too late to be warm
		}
		if most := l.warm.goroutines*goroutinesTimes + goroutinesMore; l.last.goroutines > most {
			g.bounded.broken("%s: %.0f goroutines when warm, %.0f at the end", p.Name, l.warm.goroutines, l.last.goroutines)
			continue
		}
		if most := l.warm.bytes*memoryTimes + memoryMore; l.last.bytes > most {
			g.bounded.broken("%s: %.0f MiB when warm, %.0f MiB at the end", p.Name, l.warm.bytes/(1<<20), l.last.bytes/(1<<20))
			continue
		}
		g.bounded.held()
	}
}
