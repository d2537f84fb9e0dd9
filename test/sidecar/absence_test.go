package sidecar

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/actors"
)

// Nobody is there to retire the token when the namespace goes.
func TestANamespaceGoesWhileTheSidecarIsAway(t *testing.T) { //nolint:tparallel // see inBothPlacements
	inBothPlacements(t, func(here place) {
		t, admin := here.T, here.admin
		left := newEstate(t, admin, "unwatched")
		sidecar := admin.Compute.Sidecar
		sidecar.Stop()
		t.Cleanup(func() {
			if !sidecar.Running() {
				if err := sidecar.Start(context.Background()); err != nil {
					t.Error(err)
				}
			}
		})
		deleteNamespace(t, left.team)
		var reborn *actors.Team
		if admin.Layout.Placement == tenancy.InTenant {
			// The finalizer keeps the token, and so the namespace, until it can be
			// moved.
			within(t, patience, "nothing but the token keeps the namespace", func(ctx context.Context) error {
				var claims corev1.PersistentVolumeClaimList
				if err := admin.List(ctx, &claims, client.InNamespace(left.team.Namespace.Name)); err != nil || len(claims.Items) > 0 {
					return errors.Join(err, errors.New("it still has claims"))
				}
				secret, err := secretOf(ctx, admin, live(left.team))
				if err == nil && secret.DeletionTimestamp.IsZero() {
					err = errors.New("the token Secret is not being deleted")
				}
				return err
			})
		} else {
			reborn = makeAgain(t, left.team, patience)
		}
		if err := sidecar.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if reborn == nil {
			reborn = makeAgain(t, left.team, patience)
		}
		waitForToken(t, reborn)
		handles := mustBind(t, reborn, reborn.Claim("own", actors.CSIClass))
		if v, _, err := stage.Storage.Volume(t.Context(), handles[0]); err != nil || v.Owner != reborn.Subject() {
			t.Errorf("the new namespace's volume is owned by %q, %v", v.Owner, err)
		}
		within(t, soon, "a retired token", func(ctx context.Context) error {
			return errors.Join(holdsTokenOf(ctx, left.team, left.retired()), left.pointsToRetired(ctx))
		})
		waitForVolume(t, left.dropped, false)
		waitForVolume(t, left.droppedSnapshot, false)
		left.clear(t)
	})
}
