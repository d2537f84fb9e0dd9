package sidecar

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestANewPolicyCountsOnceItStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		changes := 0
		f := &inForce{changed: func() { changes++ }}
		see := func(policies ...string) {
			for _, p := range policies {
				f.sawPolicy(p)
				time.Sleep(time.Second)
			}
		}
		stand := func() { time.Sleep(settleTime); synctest.Wait() }
		if !f.policy("anything") {
			t.Error("a token counts as old while the policy is not known")
		}
		see("", "p1", "p1", "")
		stand()
		if changes != 1 || f.policy("") || !f.policy("p1") {
			t.Errorf("%d changes, p1 in force: %v", changes, f.policy("p1"))
		}
		// The replicas of an issuer learn of a change one after another.
		see("p2", "p1", "p2", "p1", "p2", "p1", "p2", "p1", "p1", "p1")
		stand()
		if changes != 1 || !f.policy("p1") {
			t.Errorf("%d changes while replicas disagree", changes)
		}
		see("p2", "p2")
		stand()
		if changes != 2 || f.policy("p1") || !f.policy("p2") {
			t.Errorf("%d changes, p2 in force: %v", changes, f.policy("p2"))
		}
	})
}

// published is what a scripted issuer publishes: the last answer stands.
type published struct {
	mu      sync.Mutex
	answers [][]string
	changes int
}

func (p *published) script(answers ...[]string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers = answers
}

func (p *published) keyIDs(context.Context) (map[string]bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	answer := p.answers[0]
	if len(p.answers) > 1 {
		p.answers = p.answers[1:]
	}
	if answer == nil {
		return nil, errors.New("no answer")
	}
	ids := map[string]bool{}
	for _, id := range answer {
		ids[id] = true
	}
	return ids, nil
}

func (p *published) changed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changes++
}

func TestAWithdrawnKeyCountsOnceItStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		issuer := &published{answers: [][]string{{"a", "b"}}}
		f := &inForce{changed: issuer.changed, keyIDs: issuer.keyIDs}
		if !f.key("a") {
			t.Error("a key counts as withdrawn while none is known")
		}
		go f.followKeys(ctx)
		settle := func() { time.Sleep(2 * (keysInterval + settleTime)); synctest.Wait() }
		settle()
		if !f.key("a") || f.key("c") {
			t.Errorf("a: %v, c: %v", f.key("a"), f.key("c"))
		}
		// Two replicas that disagree, and one that does not answer.
		issuer.script([]string{"b"}, []string{"a", "b"}, nil, []string{"b"}, nil, []string{"a", "b"})
		time.Sleep(5 * keysInterval)
		settle()
		if !f.key("a") {
			t.Error("a key counts as withdrawn by the word of one replica")
		}
		issuer.script([]string{"b"})
		settle()
		if f.key("a") || !f.key("b") {
			t.Errorf("a: %v, b: %v after a was withdrawn", f.key("a"), f.key("b"))
		}
		issuer.mu.Lock()
		defer issuer.mu.Unlock()
		if issuer.changes != 2 {
			t.Errorf("%d changes, want that of the first answer and that of the last", issuer.changes)
		}
	})
}

func TestALeapOfTheClockIsNoticed(t *testing.T) {
	for _, leap := range []time.Duration{time.Hour, -time.Hour, 3 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var offset, leaps atomic.Int64
			go watchClock(ctx, func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }, func() { leaps.Add(1) })
			time.Sleep(time.Minute)
			synctest.Wait()
			if leaps.Load() != 0 {
				t.Fatal("a leap of a clock that goes on")
			}
			offset.Store(int64(leap))
			time.Sleep(time.Minute)
			synctest.Wait()
			if leaps.Load() != 1 {
				t.Errorf("a leap of %v was noticed %d times", leap, leaps.Load())
			}
		})
	}
}
