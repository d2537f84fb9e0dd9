package sidecar

import (
	"context"
	"errors"
	"fmt"
	"testing"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/actors"
)

// estate is what a team leaves behind: a volume and a snapshot that go with the
// namespace, and one each that are kept.
type estate struct {
	team                        *actors.Team
	dropped, kept               string // handles of volumes
	droppedSnapshot, keptHandle string // handles of snapshots
	volume                      *corev1.PersistentVolume
	content                     *snapshotv1.VolumeSnapshotContent
}

const keptSnapshots = "px-snapshots-kept"

// newEstate makes a team and what it will leave behind.
func newEstate(t *testing.T, admin *actors.ClusterAdmin, name string) *estate {
	t.Helper()
	e := &estate{team: newTeam(t, admin, name)}
	handles := mustBind(t, e.team, e.team.Claim("dropped", actors.CSIClass), e.team.Claim("kept", actors.CSIClass))
	e.dropped, e.kept = handles[0], handles[1]
	var err error
	if e.volume, err = e.team.Volume(t.Context(), "kept"); err != nil {
		t.Fatal(err)
	}
	if err := admin.SetReclaimPolicy(t.Context(), e.volume.Name, corev1.PersistentVolumeReclaimRetain); err != nil {
		t.Fatal(err)
	}
	class := &snapshotv1.VolumeSnapshotClass{
		ObjectMeta: metav1.ObjectMeta{Name: keptSnapshots}, Driver: tenancy.CSIDriver,
		DeletionPolicy: snapshotv1.VolumeSnapshotContentRetain,
	}
	if err := client.IgnoreAlreadyExists(admin.Create(t.Context(), class)); err != nil {
		t.Fatal(err)
	}
	for snapshot, class := range map[string]string{"dropped": actors.SnapshotClass, "kept": keptSnapshots} {
		if err := e.team.Snapshot(t.Context(), snapshot, class, "kept"); err != nil {
			t.Fatal(err)
		}
	}
	contents, err := admin.SnapshotContents(t.Context(), e.team.Namespace.Name)
	if err != nil {
		t.Fatal(err)
	}
	for i := range contents {
		if contents[i].Spec.VolumeSnapshotRef.Name == "kept" {
			e.content, e.keptHandle = &contents[i], *contents[i].Status.SnapshotHandle
		} else {
			e.droppedSnapshot = *contents[i].Status.SnapshotHandle
		}
	}
	if e.content == nil || e.droppedSnapshot == "" {
		t.Fatalf("%d contents", len(contents))
	}
	return e
}

// retired is the Secret that the estate is deleted with.
func (e *estate) retired() tenancy.SecretRef {
	return e.team.Admin.Layout.RetiredSecret(e.team.Tenant().UID)
}

// pointsToRetired is nil if what was kept names the retired Secret.
func (e *estate) pointsToRetired(ctx context.Context) error {
	admin, want := e.team.Admin, e.retired()
	var volume corev1.PersistentVolume
	if err := admin.Get(ctx, types.NamespacedName{Name: e.volume.Name}, &volume); err != nil {
		return err
	}
	var content snapshotv1.VolumeSnapshotContent
	if err := admin.Get(ctx, types.NamespacedName{Name: e.content.Name}, &content); err != nil {
		return err
	}
	for _, pair := range []struct {
		of        client.Object
		key, want string
	}{
		{&volume, tenancy.DeletionSecretName, want.Name},
		{&volume, tenancy.DeletionSecretNamespace, want.Namespace},
		{&content, tenancy.SnapshotDeletionSecretName, want.Name},
		{&content, tenancy.SnapshotDeletionSecretNamespace, want.Namespace},
	} {
		if got := pair.of.GetAnnotations()[pair.key]; got != pair.want {
			return fmt.Errorf("%s: %s is %q, want %q", pair.of.GetName(), pair.key, got, pair.want)
		}
	}
	return nil
}

// clear deletes what was kept, and waits until nothing is left of the estate.
func (e *estate) clear(t *testing.T) {
	t.Helper()
	admin := e.team.Admin
	waitForVolume(t, e.kept, true)
	waitForVolume(t, e.keptHandle, true)
	patch := []byte(`{"spec":{"deletionPolicy":"Delete"}}`)
	content := &snapshotv1.VolumeSnapshotContent{ObjectMeta: metav1.ObjectMeta{Name: e.content.Name}}
	if err := admin.Patch(t.Context(), content, client.RawPatch(types.MergePatchType, patch)); err != nil {
		t.Fatal(err)
	}
	if err := admin.Delete(t.Context(), content); err != nil {
		t.Fatal(err)
	}
	waitForVolume(t, e.keptHandle, false)
	if err := admin.SetReclaimPolicy(t.Context(), e.volume.Name, corev1.PersistentVolumeReclaimDelete); err != nil {
		t.Fatal(err)
	}
	waitForVolume(t, e.kept, false)
	within(t, soon, "the PV gone", func(ctx context.Context) error {
		return gone(ctx, admin, &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: e.volume.Name}})
	})
}

// waitUntilForgotten waits until the retired Secret has gone.
func (e *estate) waitUntilForgotten(t *testing.T) {
	t.Helper()
	// It stays for a minute at least, for what was still being made.
	within(t, 2*patience, "the retired Secret gone", func(ctx context.Context) error {
		return gone(ctx, e.team.Admin, object(e.retired()))
	})
}

// E1, E14.
func TestANamespaceGoesAndOneOfItsNameComesAtOnce(t *testing.T) { //nolint:tparallel // see inBothPlacements
	inBothPlacements(t, func(here place) {
		t, admin := here.T, here.admin
		left, empty := newEstate(t, admin, "phoenix"), newTeam(t, admin, "empty")
		waitForToken(t, empty)
		deleteNamespace(t, empty)
		deleteNamespace(t, left.team)
		reborn := makeAgain(t, left.team, patience)

		handles := mustBind(t, reborn, reborn.Claim("own", actors.CSIClass))
		if v, _, err := stage.Storage.Volume(t.Context(), handles[0]); err != nil || v.Owner != reborn.Subject() {
			t.Errorf("the new namespace's volume is owned by %q, %v", v.Owner, err)
		}
		waitForVolume(t, left.dropped, false)
		waitForVolume(t, left.droppedSnapshot, false)
		within(t, soon, "what was kept names the retired Secret", left.pointsToRetired)

		// Long after, when the token that was moved has ended, its successor serves.
		moved, err := secretOf(t.Context(), admin, left.retired())
		if err != nil {
			t.Fatal(err)
		}
		within(t, patience, "the retired token replaced", func(ctx context.Context) error {
			s, err := secretOf(ctx, admin, left.retired())
			if err == nil && string(s.Data[tenancy.TokenKey]) == string(moved.Data[tenancy.TokenKey]) {
				err = errors.New("it is the one that was moved")
			}
			return errors.Join(err, isTokenOf(ctx, left.team, s))
		})
		left.clear(t)
		left.waitUntilForgotten(t)
		// A namespace with nothing in it leaves nothing.
		within(t, soon, "nothing left of an empty namespace", func(ctx context.Context) error {
			return errors.Join(gone(ctx, admin, empty.Namespace.DeepCopy()), gone(ctx, admin, object(live(empty))),
				gone(ctx, admin, object(admin.Layout.RetiredSecret(empty.Tenant().UID))))
		})

		// Neither met the other's token.
		for _, w := range recorders[admin].of(live(reborn)) {
			if w.issued.After(reborn.Namespace.CreationTimestamp.Time) && w.subject != reborn.Subject() {
				t.Errorf("the new namespace's Secret held a token of %s", w.subject)
			}
		}
		for _, w := range recorders[admin].of(left.retired()) {
			if w.subject != left.team.Subject() {
				t.Errorf("the retired Secret held a token of %s", w.subject)
			}
		}
		if err := holdsTokenOf(t.Context(), reborn, live(reborn)); err != nil {
			t.Error(err)
		}
	})
}
