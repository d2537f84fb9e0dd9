package main

import (
	"slices"
	"sync"
	"time"
)

// timeline is when which fault was in force, as it came to pass.
type timeline struct {
	mu     sync.Mutex
	spells []spell
}

// spell is one fault; until is zero while it is in force.
type spell struct {
	fault

	from, until time.Time
}

// befalls is whether the fault is about the storage side or that compute cluster.
func (f fault) befalls(cluster string) bool { return f.Lane == storageLane || f.Lane == cluster }

// begin notes that a fault comes into force, and returns what notes its end and
// says when that was.
func (t *timeline) begin(f fault) (end func() time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.spells = append(t.spells, spell{fault: f, from: time.Now()})
	i := len(t.spells) - 1
	return func() time.Time {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.spells[i].until = time.Now()
		return t.spells[i].until
	}
}

// met are the spells of faults that meet a cluster at any moment from one time to
// another. A spell goes on for a while after its end: as long as what it befell may
// need.
func (t *timeline) met(cluster string, from, to time.Time, while time.Duration) []spell {
	t.mu.Lock()
	defer t.mu.Unlock()
	var met []spell
	for _, s := range t.spells {
		over := !s.until.IsZero() && !s.until.Add(while).After(from)
		if s.befalls(cluster) && s.from.Before(to) && !over {
			met = append(met, s)
		}
	}
	return met
}

// starved is whether some fault that keeps the cluster's sidecar from its tokens
// met it from one time to another, or a while after.
func (t *timeline) starved(cluster string, from, to time.Time, while time.Duration) bool {
	return slices.ContainsFunc(t.met(cluster, from, to, while), func(s spell) bool {
		k := kindNamed(s.Kind)
		return k.starves && (k.oneOf == 0 || s.Replica == all)
	})
}

// calm is how much of the time since then no fault met the cluster.
func (t *timeline) calm(cluster string, since time.Time) time.Duration {
	now := time.Now()
	spells := t.met(cluster, since, now, 0)
	slices.SortFunc(spells, func(a, b spell) int { return a.from.Compare(b.from) })
	calm, at := time.Duration(0), since
	for _, s := range spells {
		if s.from.After(at) {
			calm += s.from.Sub(at)
		}
		if s.until.IsZero() {
			return calm
		}
		if s.until.After(at) {
			at = s.until
		}
	}
	return calm + now.Sub(at)
}
