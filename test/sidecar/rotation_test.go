package sidecar

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/test/actors"
)

// Claims are made all the time while tokens are replaced; none fails.
func TestTokensAreReplacedInTimeAndNobodyNotices(t *testing.T) { //nolint:tparallel // see inBothPlacements
	inBothPlacements(t, func(here place) {
		t, admin := here.T, here.admin
		team := newTeam(t, admin, "rotation")
		waitForToken(t, team)
		writes := func() []write { return recorders[admin].of(live(team)) }
		for claims := 0; len(writes()) < 3; claims++ {
			mustBind(t, team, team.Claim(fmt.Sprintf("claim-%d", claims), actors.CSIClass))
			if time.Since(writes()[0].seen) > 3*tokenLife {
				t.Fatalf("%d tokens in %v", len(writes()), 3*tokenLife)
			}
		}
		seen := writes()
		if err := neverBack(seen); err != nil {
			t.Error(err)
		}
		for i, w := range seen[1:] {
			old := seen[i]
			// A token is issued at the moment it expires less its life: the claim is
			// back-dated for clocks that are slow.
			minted := old.expires.Add(-tokenLife)
			due := old.refresh.Sub(minted).Seconds() / tokenLife.Seconds()
			if due < 0.25 || due > 0.75 {
				t.Errorf("token %d is due after %.0f %% of its life", i, 100*due)
			}
			if late := w.seen.Sub(old.refresh); late < -time.Second || late > 5*time.Second {
				t.Errorf("token %d was replaced %v after it was due", i, late)
			}
			if w.subject != team.Subject() || w.state != "live" {
				t.Errorf("token %d is of %s and %q", i+1, w.subject, w.state)
			}
		}
		first, err := actors.NewBearer(stage.Env.Storage, seen[0].token)
		if err != nil {
			t.Fatal(err)
		}
		within(t, patience, "the end of the first token", func(ctx context.Context) error {
			if first.Accepted(ctx) == nil {
				return errors.New("it is accepted")
			}
			return nil
		})
	})
}
