package sidecar

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// doorkeeper is a gate, and who was woken at it since it was last looked.
type doorkeeper struct {
	*gate

	mu    sync.Mutex
	woken []string
}

func newDoorkeeper() *doorkeeper {
	d := &doorkeeper{}
	d.gate = newGate(time.Now, func(k key, after time.Duration) {
		time.AfterFunc(after, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.woken = append(d.woken, k.name)
		})
	})
	return d
}

func (d *doorkeeper) look() []string {
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	woken := d.woken
	d.woken = nil
	return woken
}

func item(name string) key { return key{ofNamespace, name} }

func TestTheGateLetsOneTryAndThenAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, now := newDoorkeeper(), time.Now()
		era, ok := g.enter(item("a"), now.Add(time.Hour))
		if !ok {
			t.Fatal("an open gate lets nobody through")
		}
		other, _ := g.enter(item("b"), now.Add(time.Minute))
		pause := g.failed(era, item("a"), now.Add(time.Hour), 0)
		if pause < minIssuerBackoff || pause > 2*minIssuerBackoff {
			t.Errorf("first pause is %v", pause)
		}
		if again := g.failed(other, item("b"), now.Add(time.Minute), 0); again != 0 {
			t.Error("a request from before the failure made the pause longer")
		}
		for _, name := range []string{"first", "urgent"} {
			if _, ok := g.enter(item(name), map[string]time.Time{"urgent": now.Add(time.Minute)}[name]); ok {
				t.Errorf("%s went through a closed gate", name)
			}
		}
		time.Sleep(pause)
		// Those that have not failed yet come first, those without a token before others.
		if woken := g.look(); !slices.Equal(woken, []string{"first"}) {
			t.Fatalf("woken to try: %v", woken)
		}
		era, ok = g.enter(item("first"), time.Time{})
		if _, second := g.enter(item("urgent"), now.Add(time.Minute)); !ok || second {
			t.Errorf("one may try: %v, a second: %v", ok, second)
		}
		if !g.succeeded(era, item("first")) {
			t.Error("that it works again is no news")
		}
		woken := g.look()
		slices.Sort(woken) // the timers of this test ring in no order
		if !slices.Equal(woken, []string{"a", "b", "urgent"}) {
			t.Errorf("woken: %v", woken)
		}
		if _, ok := g.enter(item("z"), time.Time{}); !ok || !g.isOpen() {
			t.Error("the gate did not open")
		}
	})
}

func TestTheGateWaitsEverLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, start := newDoorkeeper(), time.Now()
		tries := 0
		for time.Since(start) < time.Hour {
			tries++
			era, ok := g.enter(item("a"), time.Time{})
			if !ok {
				t.Fatal("the one that was woken may not try")
			}
			pause := g.failed(era, item("a"), time.Time{}, 0)
			if pause > maxIssuerBackoff {
				t.Fatalf("pause of %v", pause)
			}
			time.Sleep(pause)
			if woken := g.look(); len(woken) != 1 {
				t.Fatalf("woken: %v", woken)
			}
		}
		if tries < 60 || tries > 90 {
			t.Errorf("%d tries in an hour", tries)
		}
	})
}

func TestTheGateHonoursRetryAfterWithinReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct{ retryAfter, left, least, most time.Duration }{
			{30 * time.Second, time.Hour, 30 * time.Second, 30 * time.Second},
			{30 * time.Second, 20 * time.Second, 10 * time.Second, 10 * time.Second}, // half of what is left
			{30 * time.Second, time.Second, leastPatience, leastPatience},
			{24 * time.Hour, 24 * time.Hour, maxRetryAfter, maxRetryAfter},
			{24 * time.Hour, -time.Hour, maxRetryAfter, maxRetryAfter}, // it has run out: nothing more to lose
		} {
			g := newDoorkeeper()
			expires := time.Now().Add(c.left)
			era, _ := g.enter(item("a"), expires)
			if pause := g.failed(era, item("a"), expires, c.retryAfter); pause < c.least || pause > c.most {
				t.Errorf("Retry-After %v with %v left: pause of %v", c.retryAfter, c.left, pause)
			}
		}
	})
}

func TestSomebodyUrgentShortensThePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newDoorkeeper()
		era, _ := g.enter(item("a"), time.Time{})
		g.failed(era, item("a"), time.Time{}, 5*time.Minute)
		g.enter(item("b"), time.Now().Add(20*time.Second))
		time.Sleep(10*time.Second - time.Millisecond)
		if woken := g.look(); len(woken) != 0 {
			t.Errorf("woken too soon: %v", woken)
		}
		time.Sleep(time.Millisecond)
		if woken := g.look(); !slices.Equal(woken, []string{"b"}) {
			t.Errorf("woken: %v", woken)
		}
	})
}

func TestTheGateGoesOnIfTheOneThatWasWokenHasNoNeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newDoorkeeper()
		era, _ := g.enter(item("a"), time.Time{})
		g.enter(item("b"), time.Time{})
		g.enter(item("c"), time.Time{})
		g.failed(era, item("a"), time.Time{}, 0)
		g.enter(item("b"), time.Time{})
		g.enter(item("c"), time.Time{})
		time.Sleep(time.Minute)
		if woken := g.look(); !slices.Equal(woken, []string{"b"}) {
			t.Fatalf("woken: %v", woken)
		}
		g.forget(item("b")) // its namespace is gone
		g.settle()
		if woken := g.look(); !slices.Equal(woken, []string{"c"}) {
			t.Errorf("woken: %v", woken)
		}
	})
}

func TestANudgeLetsOneTryAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newDoorkeeper()
		g.nudge() // while it is open: nothing
		era, _ := g.enter(item("a"), time.Time{})
		g.failed(era, item("a"), time.Time{}, 5*time.Minute)
		g.nudge()
		if woken := g.look(); !slices.Equal(woken, []string{"a"}) {
			t.Fatalf("woken: %v", woken)
		}
		g.enter(item("a"), time.Time{})
		g.nudge() // while one tries: nothing
		if _, ok := g.enter(item("b"), time.Time{}); ok || len(g.look()) != 0 {
			t.Error("a second one may try")
		}
	})
}

// A request that was under way when the gate closed fails once others have
// succeeded: it must not be left waiting at an open gate.
func TestALateFailureIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newDoorkeeper()
		slow, _ := g.enter(item("slow"), time.Time{})
		era, _ := g.enter(item("a"), time.Time{})
		time.Sleep(g.failed(era, item("a"), time.Time{}, 0))
		g.look()
		era, _ = g.enter(item("a"), time.Time{})
		g.succeeded(era, item("a"))
		g.look()
		g.failed(slow, item("slow"), time.Time{}, 0)
		time.Sleep(minRetry)
		if woken := g.look(); !slices.Equal(woken, []string{"slow"}) || !g.isOpen() {
			t.Errorf("woken: %v, open: %v", woken, g.isOpen())
		}
	})
}

// One item that always fails must not close the gate for the others again and
// again.
func TestAnItemThatKeepsClosingTheGateWaitsEverLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, start, closings := newDoorkeeper(), time.Now(), 0
		work := []string{"bad"}
		for time.Since(start) < 30*time.Minute {
			for _, name := range append(work, "good") {
				era, ok := g.enter(item(name), time.Time{})
				switch {
				case !ok:
				case name == "bad":
					if g.failed(era, item(name), time.Time{}, 0) > 0 {
						closings++
					}
				default:
					g.succeeded(era, item(name))
				}
			}
			time.Sleep(time.Second)
			work = nil
			for _, name := range g.look() {
				if name == "bad" {
					work = append(work, name)
				}
			}
		}
		if closings > 20 {
			t.Errorf("the gate was closed %d times in half an hour", closings)
		}
	})
}
