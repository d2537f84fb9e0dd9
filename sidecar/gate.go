package sidecar

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	minIssuerBackoff = time.Second
	maxIssuerBackoff = time.Minute
	// maxRetryAfter bounds what an issuer, or something that answers in its
	// place, can make us wait.
	maxRetryAfter = 10 * time.Minute
)

// gate stands between all items of work and the issuer. While the issuer fails
// it lets one request through at a time, ever more rarely, and keeps the other
// items waiting; they go on, the most urgent first, once a request succeeds.
type gate struct {
	now func() time.Time
	// wake puts an item back to work, after a while.
	wake func(key, time.Duration)

	mu      sync.Mutex
	state   gateState
	waiting map[key]waiter
	backoff wait.Backoff
	// closings counts how often an item has closed the gate since its own last
	// success: one that always fails must not close it for the others again and
	// again.
	closings map[key]int
	// era counts the closings: requests that were under way when the gate closed
	// do not close it again.
	era    int
	opens  time.Time
	reopen *time.Timer
}

type gateState int

const (
	// open lets all through.
	open gateState = iota
	// closed lets none through until its time, or until the one that is under
	// way has been answered.
	closed
	// ajar lets one through.
	ajar
)

// waiter is an item that waits for the issuer.
type waiter struct {
	// expires is when its token runs out, zero if it has none.
	expires time.Time
	// tries counts its failures, so that one bad item is not always the one to try.
	tries int
}

func newGate(now func() time.Time, wake func(key, time.Duration)) *gate {
	return &gate{now: now, wake: wake, waiting: map[key]waiter{}, closings: map[key]int{}, backoff: freshBackoff()}
}

func freshBackoff() wait.Backoff {
	// The jitter comes on top of the cap.
	const jitter = 0.2
	return wait.Backoff{Duration: minIssuerBackoff, Factor: 2, Jitter: jitter, Steps: 10, Cap: maxIssuerBackoff * 5 / 6}
}

// enter asks to send a request for an item. If it may not, the item waits and
// is woken later.
func (g *gate) enter(k key, expires time.Time) (era int, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state == closed {
		g.park(k, expires)
		return 0, false
	}
	if g.state == ajar {
		g.state = closed
	}
	return g.era, true
}

// succeeded says that the issuer works, and reports whether that is news.
func (g *gate) succeeded(era int, k key) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.waiting, k)
	delete(g.closings, k)
	if g.state == open || era != g.era {
		return false
	}
	g.state, g.backoff = open, freshBackoff()
	g.stop()
	for _, k := range g.byUrgency() {
		g.wake(k, g.penance(k))
	}
	clear(g.waiting)
	return true
}

// penance is how long an item waits that closed the gate more than once.
func (g *gate) penance(k key) time.Duration {
	n := g.closings[k]
	if n < 2 {
		return 0
	}
	const most = 9 // 512 seconds, beyond any cap
	return min(minRetry<<min(n-1, most), maxRetry, g.patience(g.waiting[k]))
}

// failed says that the issuer did not answer to the point; the item waits. It
// returns how long nothing will be sent, zero if that was known already.
func (g *gate) failed(era int, k key, expires time.Time, retryAfter time.Duration) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state == open && era != g.era {
		g.wake(k, minRetry) // it failed before others succeeded
		return 0
	}
	g.waiting[k] = waiter{expires, g.waiting[k].tries + 1}
	if era != g.era {
		return 0
	}
	if g.state == open {
		g.closings[k]++
	}
	g.era++
	g.state = closed
	pause := max(g.backoff.Step(), min(retryAfter, maxRetryAfter))
	for _, w := range g.waiting {
		pause = min(pause, g.patience(w))
	}
	g.arm(pause)
	return pause
}

func (g *gate) patience(w waiter) time.Duration {
	return patience(w.expires.Sub(g.now()), maxRetryAfter)
}

// leastPatience keeps many tokens that run out one after another from being one
// request after another.
const leastPatience = 10 * time.Second

// patience is how long an item can wait: half of what its token has left. One
// without a token, or whose token has run out, has nothing more to lose.
func patience(left, most time.Duration) time.Duration {
	if left <= 0 {
		return most
	}
	return min(max(left/2, leastPatience), most)
}

func (g *gate) park(k key, expires time.Time) {
	w := waiter{expires, g.waiting[k].tries}
	g.waiting[k] = w
	if patience := g.patience(w); g.reopen != nil && g.now().Add(patience).Before(g.opens) {
		g.arm(patience)
	}
}

// arm makes the gate let one through after a while.
func (g *gate) arm(pause time.Duration) {
	g.stop()
	era := g.era
	g.opens = g.now().Add(pause)
	g.reopen = time.AfterFunc(pause, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.era == era && g.state == closed {
			g.letOne()
		}
	})
}

func (g *gate) stop() {
	if g.reopen != nil {
		g.reopen.Stop()
		g.reopen = nil
	}
}

// nudge lets one through before its time, as something has changed.
func (g *gate) nudge() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state == closed && g.reopen != nil {
		g.letOne()
	}
}

func (g *gate) letOne() {
	g.stop()
	g.state = ajar
	g.wakeFirst()
}

// settle is called after each item of work: if the one that was woken to try
// had no need to any more, the next is woken.
func (g *gate) settle() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state == ajar {
		g.wakeFirst()
	}
}

// forget is called for an item that does not wait any more.
func (g *gate) forget(k key) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.waiting, k)
	delete(g.closings, k)
}

func (g *gate) wakeFirst() {
	if order := g.byUrgency(); len(order) > 0 {
		g.wake(order[0], 0)
	}
}

// byUrgency are the waiting items: those that have failed least first, among
// them those without a token, then the token that runs out first.
func (g *gate) byUrgency() []key {
	return slices.SortedFunc(maps.Keys(g.waiting), func(a, b key) int {
		x, y := g.waiting[a], g.waiting[b]
		return cmp.Or(cmp.Compare(x.tries+g.closings[a], y.tries+g.closings[b]), x.expires.Compare(y.expires), cmp.Compare(a.kind, b.kind), cmp.Compare(a.name, b.name))
	})
}

// isOpen reports whether the issuer works as far as is known.
func (g *gate) isOpen() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state == open
}
