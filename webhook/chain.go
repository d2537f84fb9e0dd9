package webhook

import (
	"context"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// A claim or snapshot is followed to the volume behind it. What is not there
// yet is let through: its handle is guarded where it enters.

// heldFor reports whether a cluster-scoped object that names one in a namespace
// is for that very one. A uid is compared where both sides have one: an object
// that is being created may not have one yet.
func heldFor(ref *corev1.ObjectReference, namespace, name string, uid types.UID) bool {
	return ref != nil && ref.Namespace == namespace && ref.Name == name &&
		(ref.UID == "" || uid == "" || ref.UID == uid)
}

// strange reports whether an object says that it is another tenant's: a
// namespace of the same name that was deleted counts as another. What says
// nothing is not strange.
func strange(annotations map[string]string, tenant tenancy.Tenant) bool {
	origin, ok := tenancy.OriginOf(annotations)
	return ok && !origin.Same(tenant)
}

// ours reports whether a PV lies on the storage cluster.
func (l *lookup) ours(pv *corev1.PersistentVolume) bool {
	_, field := l.handle(pv)
	return field != ""
}

// keptFor reports whether the PV is another driver's, or kept for the claim and
// of its tenant.
func (l *lookup) keptFor(pv *corev1.PersistentVolume, tenant tenancy.Tenant, claim string, uid types.UID) bool {
	return !l.ours(pv) || (heldFor(pv.Spec.ClaimRef, tenant.Namespace, claim, uid) && !strange(pv.Annotations, tenant))
}

// contentKeptFor is keptFor for snapshots.
func (l *lookup) contentKeptFor(content *snapshotv1.VolumeSnapshotContent, tenant tenancy.Tenant, snapshot string, uid types.UID) bool {
	return !l.drivers.IsCSI(content.Spec.Driver) ||
		(heldFor(&content.Spec.VolumeSnapshotRef, tenant.Namespace, snapshot, uid) && !strange(content.Annotations, tenant))
}

// claimHoldsForeign reports whether a claim is known to hold another tenant's
// volume.
func (l *lookup) claimHoldsForeign(ctx context.Context, tenant tenancy.Tenant, name string) (bool, error) {
	claim, found, err := l.claim(ctx, tenant.Namespace, name)
	if err != nil || !found || claim.Spec.VolumeName == "" {
		return false, err
	}
	pv, found, err := l.volume(ctx, claim.Spec.VolumeName)
	if err != nil || !found {
		return false, err
	}
	return !l.keptFor(pv, tenant, claim.Name, claim.UID), nil
}

// snapshotHoldsForeign reports whether a snapshot is known to hold another
// tenant's data.
func (l *lookup) snapshotHoldsForeign(ctx context.Context, tenant tenancy.Tenant, name string) (bool, error) {
	snapshot, found, err := l.snapshot(ctx, tenant.Namespace, name)
	if err != nil || !found {
		return false, err
	}
	for _, contentName := range contentNames(snapshot) {
		content, found, err := l.content(ctx, contentName)
		if err != nil {
			return false, err
		}
		if found && !l.contentKeptFor(content, tenant, snapshot.Name, snapshot.UID) {
			return true, nil
		}
	}
	if source := snapshot.Spec.Source.PersistentVolumeClaimName; source != nil {
		return l.claimHoldsForeign(ctx, tenant, *source)
	}
	return false, nil
}

// contentNames are the contents that a snapshot points to.
func contentNames(snapshot *snapshotv1.VolumeSnapshot) []string {
	var names []string
	if name := snapshot.Spec.Source.VolumeSnapshotContentName; name != nil {
		names = append(names, *name)
	}
	if snapshot.Status != nil && snapshot.Status.BoundVolumeSnapshotContentName != nil {
		names = append(names, *snapshot.Status.BoundVolumeSnapshotContentName)
	}
	return names
}

// snapshotted reports whether the content is what the snapshot controller makes
// for a snapshot of a claim in the snapshot's namespace: its handle is that of
// the claim's volume, which was judged when it came.
func (l *lookup) snapshotted(ctx context.Context, content *snapshotv1.VolumeSnapshotContent) (bool, error) {
	ref, handle := content.Spec.VolumeSnapshotRef, content.Spec.Source.VolumeHandle
	if handle == nil || ref.UID == "" {
		return false, nil
	}
	snapshot, found, err := l.snapshot(ctx, ref.Namespace, ref.Name)
	if err != nil || !found || snapshot.UID != ref.UID || snapshot.Spec.Source.PersistentVolumeClaimName == nil {
		return false, err
	}
	claim, found, err := l.claim(ctx, ref.Namespace, *snapshot.Spec.Source.PersistentVolumeClaimName)
	if err != nil || !found || claim.Spec.VolumeName == "" {
		return false, err
	}
	pv, found, err := l.volume(ctx, claim.Spec.VolumeName)
	if err != nil || !found || pv.Spec.ClaimRef == nil || pv.Spec.ClaimRef.UID != claim.UID {
		return false, err
	}
	tenant, found, err := l.tenant(ctx, ref.Namespace)
	if err != nil || !found {
		return false, err
	}
	known, _ := l.handle(pv)
	return known == *handle && l.keptFor(pv, tenant, claim.Name, claim.UID), nil
}
