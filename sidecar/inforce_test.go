package sidecar

import (
	"context"
	"errors"
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

func TestAWithdrawnKeyCountsOnceItStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		answers := [][]string{{"a", "b"}}
		changes := 0
		f := &inForce{
			changed: func() { changes++ },
			keyIDs: func(context.Context) (map[string]bool, error) {
				answer := answers[0]
				if len(answers) > 1 {
					answers = answers[1:]
				}
				if answer == nil {
					return nil, errors.New("no answer")
				}
				ids := map[string]bool{}
				for _, id := range answer {
					ids[id] = true
				}
				return ids, nil
			},
		}
		if !f.key("a") {
			t.Error("a key counts as withdrawn while none is known")
		}
		go f.followKeys(ctx)
		settle := func() { time.Sleep(2 * (keysInterval + settleTime)); synctest.Wait() }
		settle()
		if changes != 1 || !f.key("a") || f.key("c") {
			t.Errorf("%d changes, a: %v, c: %v", changes, f.key("a"), f.key("c"))
		}
		// Two replicas that disagree, and one that does not answer.
		answers = [][]string{{"b"}, {"a", "b"}, nil, {"b"}, nil, {"a", "b"}}
		time.Sleep(5 * keysInterval)
		settle()
		if !f.key("a") {
			t.Error("a key counts as withdrawn by the word of one replica")
		}
		answers = [][]string{{"b"}}
		settle()
		if f.key("a") || !f.key("b") {
			t.Errorf("a: %v, b: %v after a was withdrawn", f.key("a"), f.key("b"))
		}
	})
}

func TestALeapOfTheClockIsNoticed(t *testing.T) {
	for _, leap := range []time.Duration{time.Hour, -time.Hour, 3 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			offset, leaps := time.Duration(0), 0
			go watchClock(ctx, func() time.Time { return time.Now().Add(offset) }, func() { leaps++ })
			time.Sleep(time.Minute)
			synctest.Wait()
			if leaps != 0 {
				t.Fatal("a leap of a clock that goes on")
			}
			offset = leap
			time.Sleep(time.Minute)
			synctest.Wait()
			if leaps != 1 {
				t.Errorf("a leap of %v was noticed %d times", leap, leaps)
			}
		})
	}
}
