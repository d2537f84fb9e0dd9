package rotation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

const (
	// lead is longer than replicas take to read a changed folder, twice alike, a
	// second apart, on a machine that has other things to do.
	lead = 12 * time.Second
	// keptFor is how long an old key stays published once the new one signs: the
	// longest life that any policy can grant, and the issuer's expirySlack.
	keptFor = 24*time.Hour + 5*time.Minute
)

func TestAPlannedRotationUnderLoadFailsNoMintAndNoCall(t *testing.T) {
	s := newSite(t, 2)
	load := s.startLoad(t, 0)
	before, after := s.rotateUnder(t, load)
	s.waitForTheOldTokensToEnd(t, load, before, after)
	load.stop()
	load.wantNoFailure(t)

	if use := load.of(before.id); use.lastMint.After(after.signs.Add(5 * time.Second)) {
		t.Errorf("the old key signed until %v, the new one is to sign from %v", use.lastMint, after.signs)
	}
	if use := load.of(after.id); use.firstMint.Before(after.signs) {
		t.Errorf("the new key signed at %v, before its time %v", use.firstMint, after.signs)
	}
	for _, replica := range s.issuers.Replicas {
		granted, err := replica.Metric(t.Context(), grantedSeries)
		if err != nil {
			t.Fatalf("%s granted nothing: %v", replica.Name, err)
		}
		t.Logf("%s granted %v tokens", replica.Name, granted)
	}
}

const grantedSeries = `bulkhead_issuer_exchanges_total{cluster="` + computeName + `",result="granted"}`

// rotateUnder rotates while the load runs, and returns the old and the new key.
func (s *site) rotateUnder(t *testing.T, load *load) (before, after row) {
	t.Helper()
	first := s.keys(t, "list")
	if len(first) != 1 || first[0].state != "signing" {
		t.Fatalf("the store begins with keys %+v, want one that signs", first)
	}
	before = first[0]
	load.waitForMints(t, before.id, 2*workers)
	rows := s.keys(t, "rotate", "--lead", lead.String())
	if len(rows) != 2 || rows[0].id != before.id || rows[0].state != "signing" || rows[1].state != "published" {
		t.Fatalf("after the rotation the keys are %+v, want the old one that signs and a new one that is published", rows)
	}
	before, after = rows[0], rows[1]
	if before.algorithm != "ES256" || after.algorithm != "ES256" {
		t.Errorf("keys are of %s and %s, want ES256", before.algorithm, after.algorithm)
	}
	return before, after
}

// waitForTheOldTokensToEnd keeps the load up until the new key has signed for
// longer than any token of the old key lives, and checks that the old one was
// published all the time, and will be for as long as it is printed.
func (s *site) waitForTheOldTokensToEnd(t *testing.T, load *load, before, after row) {
	t.Helper()
	eventually(t, "every replica publishes both keys", func(ctx context.Context) error {
		return s.publish(ctx, before.id, after.id)
	})
	if now := time.Now(); now.After(after.signs) {
		t.Errorf("the new key was published everywhere only at %v, after it began to sign at %v", now, after.signs)
	}
	load.waitForMints(t, after.id, 2*workers)
	eventually(t, "the last token of the old key ends", func(ctx context.Context) error {
		if err := s.publish(ctx, before.id, after.id); err != nil {
			t.Errorf("a key left before the last token of the old one ended: %v", err)
			return nil
		}
		use := load.of(before.id)
		if left := time.Until(use.lastExpiry); left > 0 {
			return fmt.Errorf("it lives for %v", left)
		}
		return nil
	})
	rows := s.keys(t, "list")
	if len(rows) != 2 || rows[0].state != "verifying" || rows[1].state != "signing" || !rows[1].until.IsZero() {
		t.Errorf("after the switch the keys are %+v, want the old one that verifies and the new one that signs without end", rows)
	}
	use := load.of(before.id)
	if want := after.signs.Add(keptFor); !before.until.Equal(want) || !rows[0].until.Equal(want) {
		t.Errorf("the old key is to be published until %v and then %v, want %v", before.until, rows[0].until, want)
	}
	if !use.lastExpiry.Before(before.until) {
		t.Errorf("the old key's last token ends at %v, after the key at %v", use.lastExpiry, before.until)
	}
	if !use.lastCall.After(load.of(after.id).firstMint.Add(time.Second)) {
		t.Error("no token of the old key was used once the new one signed, so nothing shows that it was still good")
	}
}

func TestAReplicaKilledDuringARotationUnderLoadCostsNoToken(t *testing.T) {
	s := newSite(t, 2)
	const again = 3
	load := s.startLoad(t, again)
	victim := s.issuers.Replicas[1]
	before, after := s.rotateUnder(t, load)
	eventually(t, "every replica publishes both keys", func(ctx context.Context) error {
		return s.publish(ctx, before.id, after.id)
	})
	// It hangs before it dies, so that it takes requests with it.
	victim.Freeze()
	frozen := time.Now()
	eventually(t, "requests wait for the replica that hangs", func(context.Context) error {
		if load.waiting(frozen, 10*pace) == 0 {
			return errors.New("none does")
		}
		return nil
	})
	victim.Kill()
	t.Logf("killed %s %.1f s before the new key signs", victim.Name, time.Until(after.signs).Seconds())
	s.waitForTheOldTokensToEnd(t, load, before, after)

	if err := victim.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	// New connections reach it in their turn, and it signs with the new key.
	eventually(t, "the replica that came back mints again", func(ctx context.Context) error {
		m, err := s.mint(ctx)
		if err != nil {
			return err
		}
		if m.kid != after.id {
			t.Errorf("a token is signed with key %s, want %s", m.kid, after.id)
		}
		if err := accepted(ctx, m.raw, s.nodes...); err != nil {
			return err
		}
		_, err = victim.Metric(ctx, grantedSeries)
		return err
	})
	load.stop()
	load.wantNoFailure(t)
	if load.repeats() == 0 {
		t.Error("no mint was repeated, so none was lost with the replica")
	}
	if taken := s.front.Connections(); slices.Contains(taken, 0) {
		t.Errorf("connections by replica: %v, want some at each", taken)
	}
}
