package sidecar

import (
	"context"
	"errors"
	"testing"

	"github.com/bulkhead-dev/bulkhead/test/actors"
)

func TestTheAPIServerRestarts(t *testing.T) { //nolint:tparallel // see inBothPlacements
	inBothPlacements(t, func(here place) {
		t, admin := here.T, here.admin
		old := newTeam(t, admin, "before-apiserver")
		waitForToken(t, old)
		server := admin.Compute.Process("apiserver")
		server.Kill()
		if err := server.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		// Refreshes go on, and what comes now is served. Whether the sidecar kept its
		// lease meanwhile or was started again is all the same.
		late := newTeam(t, admin, "after-apiserver")
		// It may have to take the lease again.
		within(t, patience, "a token for "+late.Namespace.Name, func(ctx context.Context) error {
			return holdsTokenOf(ctx, late, live(late))
		})
		mustBind(t, late, late.Claim("claim", actors.CSIClass))
		first, err := old.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		within(t, patience, "a token replaced", func(ctx context.Context) error {
			if token, err := old.Token(ctx); err != nil || token == first {
				return errors.Join(err, errors.New("it is still the same"))
			}
			return holdsTokenOf(ctx, old, live(old))
		})
		wantNoFailure(t)
	})
}
