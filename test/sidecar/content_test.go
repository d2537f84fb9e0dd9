package sidecar

import (
	"context"
	"errors"
	"testing"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/actors"
)

// What a backup tool makes: a content for a snapshot that the storage cluster has
// already. The snapshotter looks at it with a Secret that it finds by the
// content's name alone.
func TestAPreProvisionedSnapshotContentBecomesReady(t *testing.T) { //nolint:tparallel // see inBothPlacements
	inBothPlacements(t, func(here place) {
		t, admin := here.T, here.admin
		team := newTeam(t, admin, "pre-provisioned")
		content, snapshot := preProvision(t, team)
		ref := admin.Layout.ContentSecret(content.Name)
		if err := holdsTokenOf(t.Context(), team, ref); err != nil {
			t.Errorf("the content's Secret: %v", err)
		}
		if secret, err := secretOf(t.Context(), admin, ref); err != nil || secret.Labels["bulkhead.dev/token"] != "content" {
			t.Errorf("the content's Secret is labelled %v, %v", secret.Labels, err)
		}
		restored := mustBind(t, team, team.Claim("restored", actors.CSIClass, actors.RestoredFrom(snapshot.Name)))
		if v, _, err := stage.Storage.Volume(t.Context(), restored[0]); err != nil || v.Owner != team.Subject() {
			t.Errorf("what was restored is owned by %q, %v", v.Owner, err)
		}
		// Without it the Secret has no use.
		if err := errors.Join(team.Delete(t.Context(), snapshot), client.IgnoreNotFound(admin.Delete(t.Context(), content))); err != nil {
			t.Fatal(err)
		}
		within(t, patience, "the content and its Secret gone", func(ctx context.Context) error {
			return errors.Join(gone(ctx, admin, &snapshotv1.VolumeSnapshotContent{ObjectMeta: metav1.ObjectMeta{Name: content.Name}}),
				gone(ctx, admin, object(ref)))
		})
	})
}

// preProvision makes a content by hand for a snapshot of the team, and waits until
// the snapshot that names it is ready.
func preProvision(t *testing.T, team *actors.Team) (*snapshotv1.VolumeSnapshotContent, *snapshotv1.VolumeSnapshot) {
	t.Helper()
	mustBind(t, team, team.Claim("data", actors.CSIClass))
	if err := team.Snapshot(t.Context(), "made", actors.SnapshotClass, "data"); err != nil {
		t.Fatal(err)
	}
	contents, err := team.Admin.SnapshotContents(t.Context(), team.Namespace.Name)
	if err != nil || len(contents) != 1 {
		t.Fatalf("%d contents, %v", len(contents), err)
	}
	class := actors.SnapshotClass
	content := &snapshotv1.VolumeSnapshotContent{
		ObjectMeta: metav1.ObjectMeta{Name: "by-hand-for-" + team.Namespace.Name},
		Spec: snapshotv1.VolumeSnapshotContentSpec{
			DeletionPolicy: snapshotv1.VolumeSnapshotContentRetain, Driver: tenancy.CSIDriver, VolumeSnapshotClassName: &class,
			Source:            snapshotv1.VolumeSnapshotContentSource{SnapshotHandle: contents[0].Status.SnapshotHandle},
			VolumeSnapshotRef: corev1.ObjectReference{Namespace: team.Namespace.Name, Name: "found"},
		},
	}
	if err := team.Admin.Create(t.Context(), content); err != nil {
		t.Fatal(err)
	}
	snapshot := &snapshotv1.VolumeSnapshot{
		ObjectMeta: metav1.ObjectMeta{Name: "found", Namespace: team.Namespace.Name},
		Spec: snapshotv1.VolumeSnapshotSpec{
			VolumeSnapshotClassName: &class,
			Source:                  snapshotv1.VolumeSnapshotSource{VolumeSnapshotContentName: &content.Name},
		},
	}
	if err := team.Create(t.Context(), snapshot); err != nil {
		t.Fatal(err)
	}
	within(t, patience, "the snapshot ready", func(ctx context.Context) error {
		err := team.Get(ctx, client.ObjectKeyFromObject(snapshot), snapshot)
		if err == nil && (snapshot.Status == nil || snapshot.Status.ReadyToUse == nil || !*snapshot.Status.ReadyToUse) {
			err = errors.New("it is not ready")
			if snapshot.Status != nil && snapshot.Status.Error != nil && snapshot.Status.Error.Message != nil {
				err = errors.New(*snapshot.Status.Error.Message)
			}
		}
		return err
	})
	return content, snapshot
}
