package rotation

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

// soon is how long a leaked key may live on at a node that is told: replicas
// read their folder each second and believe it when they have read it twice
// alike, look for a new key each second, and a node that then asked a replica
// which had not read yet is told again a second or two later.
const soon = 10 * time.Second

func TestALeakedKeyIsRefusedByEveryStorageServerThatIsToldOfItsRevocation(t *testing.T) {
	s := newSite(t, 2)
	thief := s.leak(t, s.issuers.FirstKey)
	forged := thief.forge(t)
	// The control: the leaked key opens both.
	if err := accepted(t.Context(), forged, s.nodes...); err != nil {
		t.Fatal(err)
	}
	next := s.revoke(t, "first", thief.kid)
	// Nobody but the issuers themselves shows a node the new key.
	took := eventually(t, "the forged token is refused", func(ctx context.Context) error {
		return refused(ctx, forged, s.nodes...)
	})
	t.Logf("both storage servers refused the leaked key after %.1f s", took.Seconds())
	if took > soon {
		t.Errorf("the leaked key lived on for %v, want at most %v", took, soon)
	}
	s.wantOnly(t, next)
	s.wantRefusedForGood(t, thief)
}

func TestARevocationUnderLoadRecoversWithinSeconds(t *testing.T) {
	s := newSite(t, 2)
	thief := s.leak(t, s.issuers.FirstKey)
	if err := accepted(t.Context(), thief.forge(t), s.nodes...); err != nil {
		t.Fatal(err)
	}
	load := s.startLoad(t, 0)
	load.waitForMints(t, thief.kid, 2*workers)
	revoked := time.Now()
	next := s.revoke(t, "first", thief.kid)
	took := eventually(t, "the forged token is refused", func(ctx context.Context) error {
		return refused(ctx, thief.forge(t), s.nodes...)
	})
	t.Logf("both storage servers refused the leaked key after %.1f s", took.Seconds())
	load.waitForMints(t, next.id, 2*workers)

	const quiet = 3 * time.Second
	eventually(t, "mints and calls recover", func(context.Context) error {
		if failures := load.failed(time.Now().Add(-quiet)); len(failures) > 0 {
			return fmt.Errorf("%d failures in the last %v", len(failures), quiet)
		}
		if time.Since(load.of(thief.kid).lastMint) < quiet {
			return errors.New("the revoked key still signs")
		}
		return nil
	})
	load.stop()
	load.log(t)
	last := revoked
	failures := load.failed(time.Time{})
	for _, f := range failures {
		if f.at.Before(revoked) {
			t.Errorf("failed before the revocation: %s", f.what)
		}
		if f.at.After(last) {
			last = f.at
		}
	}
	t.Logf("%d mints and calls failed during the switch, the last one %.1f s after the revocation", len(failures), last.Sub(revoked).Seconds())
	if last.Sub(revoked) > soon {
		t.Errorf("mints or calls failed for %v, want at most %v", last.Sub(revoked), soon)
	}
	s.wantOnly(t, next)
	s.wantRefusedForGood(t, thief)
}

func TestAStorageServerThatIsNotToldBelievesALeakedKeyUntilItMeetsTheNewOne(t *testing.T) {
	s := newSite(t, 1)
	told, untold := s.nodes[0], s.nodes[1]
	thief := s.leak(t, s.issuers.FirstKey)
	if err := accepted(t.Context(), thief.forge(t), told, untold); err != nil {
		t.Fatal(err)
	}
	next := s.revoke(t, "first", thief.kid)
	eventually(t, "the server that is told refuses the forged token", func(ctx context.Context) error {
		return refused(ctx, thief.forge(t), told)
	})
	s.wantOnly(t, next)
	// No replica publishes the leaked key any more, and the server that nobody
	// told believes it all the same.
	const believed = 5 * time.Second
	for began := time.Now(); time.Since(began) < believed; time.Sleep(pace) {
		if err := accepted(t.Context(), thief.forge(t), untold); err != nil {
			t.Fatalf("the server that was not told refused the leaked key by itself after %v: %v", time.Since(began), err)
		}
	}
	m, err := s.mint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if m.kid != next.id {
		t.Fatalf("a token is signed with key %s, want %s", m.kid, next.id)
	}
	if err := accepted(t.Context(), m.raw, untold); err != nil {
		t.Fatalf("the new key: %v", err)
	}
	if err := refused(t.Context(), thief.forge(t), untold); err != nil {
		t.Errorf("the leaked key, after the new one was seen: %v", err)
	}
	s.wantRefusedForGood(t, thief)
}

// leak copies a signing key.
func (s *site) leak(t *testing.T, file string) *thief {
	t.Helper()
	model, err := s.mint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return steal(t, file, model)
}

// revoke revokes a key and returns the one that signs instead.
func (s *site) revoke(t *testing.T, name, kid string) row {
	t.Helper()
	rows := s.keys(t, "revoke", name)
	if len(rows) != 1 || rows[0].id == kid || rows[0].state != "signing" {
		t.Fatalf("after the revocation the keys are %+v, want one new one that signs", rows)
	}
	if left, err := filepath.Glob(filepath.Join(s.issuers.KeysDir, name+".*")); err != nil || len(left) > 0 {
		t.Errorf("the revoked key is still in the folder: %q, %v", left, err)
	}
	return rows[0]
}

// wantOnly waits until every replica publishes that key alone.
func (s *site) wantOnly(t *testing.T, key row) {
	t.Helper()
	eventually(t, "every replica publishes the new key alone", func(ctx context.Context) error {
		return s.publish(ctx, key.id)
	})
}

// wantRefusedForGood checks that nothing brings the leaked key back: neither
// tokens of it, each of which makes a server ask for the keys, nor new tokens.
func (s *site) wantRefusedForGood(t *testing.T, thief *thief) {
	t.Helper()
	for range 10 {
		if err := refused(t.Context(), thief.forge(t), s.nodes...); err != nil {
			t.Fatalf("the leaked key: %v", err)
		}
		m, err := s.mint(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if m.kid == thief.kid {
			t.Fatal("a token is signed with the leaked key")
		}
		if err := accepted(t.Context(), m.raw, s.nodes...); err != nil {
			t.Fatalf("a token of the new key: %v", err)
		}
	}
}
