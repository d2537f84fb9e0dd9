package rotation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/exchange"
)

const (
	workers = 8
	// pace is that of one worker. All together stay below the 100 exchanges a
	// second that one replica grants a cluster, so that one can do for two.
	pace = 100 * time.Millisecond
	// lastUse is how long before its end a token is used for the last time: the
	// storage cluster grants no leeway, and a busy machine is slow.
	lastUse = 3 * time.Second
)

// load mints tokens through the balancer and shows each, fresh and again when it
// is older, to every node, until it is stopped.
type load struct {
	site *site
	// again is how often a mint is repeated whose connection broke.
	again int
	end   context.CancelFunc
	ended sync.WaitGroup

	mu       sync.Mutex
	began    time.Time
	logged   bool
	repeated []failure
	failures []failure
	keys     map[string]*keyUse // by kid
	asking   map[int]time.Time  // since when a worker waits for a token
}

// keyUse is what was done with tokens of one key.
type keyUse struct {
	mints, calls, callsOfHeld, failedCalls    int
	firstMint, lastMint, lastCall, lastExpiry time.Time
}

// failure is a mint (without kid) or a call that failed.
type failure struct {
	at   time.Time
	kid  string
	what string
}

func (s *site) startLoad(t *testing.T, again int) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{site: s, again: again, end: cancel, began: time.Now(), keys: map[string]*keyUse{}, asking: map[int]time.Time{}}
	for i := range workers {
		client, err := s.newClient()
		if err != nil {
			cancel()
			t.Fatal(err)
		}
		l.ended.Go(func() { l.work(ctx, i, client) })
	}
	t.Cleanup(func() {
		l.stop()
		if t.Failed() {
			l.log(t)
		}
	})
	return l
}

func (l *load) stop() {
	l.end()
	l.ended.Wait()
}

func (l *load) work(ctx context.Context, i int, client *exchange.Client) {
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	var held []minted
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		fresh, ok := l.mint(ctx, i, client)
		if ok && l.call(ctx, fresh, false) {
			held = append(held, fresh)
		}
		held = slices.DeleteFunc(held, func(m minted) bool { return time.Until(m.expires) < lastUse })
		if len(held) == 0 {
			continue
		}
		// The oldest: it has the most behind it.
		if oldest := held[0]; !l.call(ctx, oldest, true) {
			// Tokens of a key that was revoked are of no more use.
			held = slices.DeleteFunc(held, func(m minted) bool { return m.kid == oldest.kid })
		}
	}
}

func (l *load) mint(ctx context.Context, i int, client *exchange.Client) (minted, bool) {
	var token exchange.Token
	var err error
	l.mu.Lock()
	l.asking[i] = time.Now()
	l.mu.Unlock()
	for try := 0; ; try++ {
		var refusal *exchange.Error
		token, err = client.Exchange(ctx, tenant(i))
		// What the end of the load cut short is neither lost nor repeated.
		if err == nil || errors.As(err, &refusal) || try == l.again || ctx.Err() != nil {
			break
		}
		l.mu.Lock()
		l.repeated = append(l.repeated, failure{at: time.Now(), what: "mint, repeated: " + err.Error()})
		l.mu.Unlock()
	}
	var m minted
	if err == nil {
		m, err = read(token.Raw)
	}
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.asking, i)
	switch {
	case ctx.Err() != nil:
		return minted{}, false // the load is over
	case err != nil:
		l.failures = append(l.failures, failure{at: now, what: "mint: " + err.Error()})
		return minted{}, false
	}
	use := l.keys[m.kid]
	if use == nil {
		use = &keyUse{firstMint: now}
		l.keys[m.kid] = use
	}
	use.mints++
	use.lastMint = now
	if m.expires.After(use.lastExpiry) {
		use.lastExpiry = m.expires
	}
	return m, true
}

// call shows a token to every node and reports whether all accepted it.
func (l *load) call(ctx context.Context, m minted, isHeld bool) bool {
	all := true
	for _, n := range l.site.nodes {
		err := n.Accepts(ctx, m.raw)
		if ctx.Err() != nil {
			return all // the load is over
		}
		l.mu.Lock()
		use := l.keys[m.kid]
		use.calls++
		use.lastCall = time.Now()
		if isHeld {
			use.callsOfHeld++
		}
		// One that ended on the way, as the machine stood still, shows nothing.
		if err != nil && use.lastCall.Before(m.expires) {
			all = false
			use.failedCalls++
			l.failures = append(l.failures, failure{at: use.lastCall, kid: m.kid, what: "call of " + n.name + ": " + err.Error()})
		}
		l.mu.Unlock()
	}
	return all
}

// waiting is how many workers have asked for a token since then, and waited for it for
// at least that long.
func (l *load) waiting(from time.Time, atLeast time.Duration) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, since := range l.asking {
		if since.After(from) && time.Since(since) >= atLeast {
			n++
		}
	}
	return n
}

// repeats is how many mints were repeated.
func (l *load) repeats() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.repeated)
}

// of is a copy of what was done with a key's tokens.
func (l *load) of(kid string) keyUse {
	l.mu.Lock()
	defer l.mu.Unlock()
	if use := l.keys[kid]; use != nil {
		return *use
	}
	return keyUse{}
}

// failed is a copy of what failed since then.
func (l *load) failed(since time.Time) []failure {
	l.mu.Lock()
	defer l.mu.Unlock()
	var failures []failure
	for _, f := range l.failures {
		if f.at.After(since) {
			failures = append(failures, f)
		}
	}
	return failures
}

// waitForMints waits until so many tokens of a key were minted.
func (l *load) waitForMints(t *testing.T, kid string, n int) {
	t.Helper()
	eventually(t, "the load mints with key "+kid, func(context.Context) error {
		if use := l.of(kid); use.mints < n {
			return fmt.Errorf("%d tokens of %d", use.mints, n)
		}
		return nil
	})
}

// wantNoFailure fails the test for each kind of failure that the load met.
func (l *load) wantNoFailure(t *testing.T) {
	t.Helper()
	l.log(t)
	if n := len(l.failed(time.Time{})); n > 0 {
		t.Errorf("%d mints and calls failed", n)
	}
}

// log logs, once, what was done and what of it failed.
func (l *load) log(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.logged {
		return
	}
	l.logged = true
	t.Logf("load of %d workers for %.1f s; mints repeated: %d; connections by replica: %v",
		workers, time.Since(l.began).Seconds(), len(l.repeated), l.site.front.Connections())
	at := func(when time.Time) float64 { return when.Sub(l.began).Seconds() }
	for kid, use := range l.keys {
		t.Logf("key %s: %d mints from %.1f s to %.1f s; %d calls (%d of older tokens, %d failed) until %.1f s; last token ends at %.1f s",
			kid, use.mints, at(use.firstMint), at(use.lastMint), use.calls, use.callsOfHeld, use.failedCalls, at(use.lastCall), at(use.lastExpiry))
	}
	type kind struct{ kid, what string }
	when := map[kind][]float64{}
	for _, f := range slices.Concat(l.failures, l.repeated) {
		k := kind{f.kid, f.what}
		when[k] = append(when[k], at(f.at))
	}
	for k, times := range when {
		t.Logf("%d times from %.1f s to %.1f s, key %q: %s", len(times), slices.Min(times), slices.Max(times), k.kid, k.what)
	}
}
