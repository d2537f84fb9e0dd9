package attacks

import (
	"context"
	"fmt"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/actors"
)

// passages are the attacks that are carried through with no admission.
var passages = []passage{
	{id: "a1", what: "clone of a claim in another tenant's namespace", play: func(ctx context.Context, u *unguarded, id string) (string, error) {
		return u.copied(ctx, id, actors.CSIClass, actors.CloneOf(u.victim.Namespace.Name, id))
	}},
	{id: "a3", what: "clone of an own claim that stands for another tenant's volume", play: func(ctx context.Context, u *unguarded, id string) (string, error) {
		pv, err := u.static(ctx, id, u.handle(id), nil)
		if err != nil {
			return "", err
		}
		if _, err := u.bind(ctx, id, pv.Name); err != nil {
			return "", err
		}
		return u.copied(ctx, id, actors.CSIClass, actors.CloneOf("", id))
	}},
	{id: "a4", what: "claim with the annotation `parent`, an id", play: func(ctx context.Context, u *unguarded, id string) (string, error) {
		return u.copied(ctx, id, actors.CSIClass, actors.Annotated("parent", u.handle(id)))
	}},
	{id: "a4-name", what: "the same, a name", play: func(ctx context.Context, u *unguarded, id string) (string, error) {
		return u.copied(ctx, id, actors.CSIClass, actors.Annotated("parent", u.volumes[id].Name))
	}},
	{id: "a4-spoof", what: "claim with the annotations `namespace` and `pvc`", play: func(ctx context.Context, u *unguarded, id string) (string, error) {
		claim := u.thief.Claim(id, actors.CSIClass, actors.Annotated("namespace", u.victim.Namespace.Name), actors.Annotated("pvc", id))
		v, complaint, err := u.provision(ctx, claim)
		switch {
		case err != nil:
			return "", err
		case complaint != "":
			return "refused: " + withoutNames(complaint), nil
		case v.Owner == u.thief.Subject() && v.Namespace == u.victim.Namespace.Name:
			return "accepted: the volume is recorded for the other namespace, and owned by the thief", nil
		}
		return nothing + "the volume is the thief's own, and recorded so", nil
	}},
	{id: "a5", what: "claim that names another tenant's token", play: func(ctx context.Context, u *unguarded, id string) (string, error) {
		ref := u.secretOf(u.victim)
		return u.copied(ctx, id, actors.CSIClass,
			actors.Annotated(tenancy.AuthSecretName, ref.Name), actors.Annotated(tenancy.AuthSecretNamespace, ref.Namespace))
	}},
	{id: "a5-intree", what: "the same, of an in-tree class", play: func(ctx context.Context, u *unguarded, id string) (string, error) {
		ref := u.secretOf(u.victim)
		return u.copied(ctx, id, actors.InTreeClass,
			actors.Annotated(tenancy.AuthSecretName, ref.Name), actors.Annotated(tenancy.AuthSecretNamespace, ref.Namespace))
	}},
	{id: "a6", what: "claim that names a volume which another tenant left behind", play: func(ctx context.Context, u *unguarded, id string) (string, error) {
		return u.leftBehind(ctx, id, func(pv *corev1.PersistentVolume) { pv.Spec.ClaimRef = nil }, func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeName = u.volumes[id].Name })
	}, leaves: true},
	{id: "a7", what: "claim whose selector matches it", play: func(ctx context.Context, u *unguarded, id string) (string, error) {
		return u.leftBehind(ctx, id, func(pv *corev1.PersistentVolume) {
			pv.Spec.ClaimRef, pv.Labels = nil, map[string]string{"of": id}
		}, func(c *corev1.PersistentVolumeClaim) {
			c.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"of": id}}
		})
	}, leaves: true},
	{id: "a8", what: "claim with the annotation `parent`, its class named by the old annotation", play: func(ctx context.Context, u *unguarded, id string) (string, error) {
		return u.copied(ctx, id, actors.CSIClass, actors.ByOldAnnotation, actors.Annotated("parent", u.handle(id)))
	}},
	{id: "a10", what: "claim with the annotation `px/snapshot-source-pvc`", play: func(ctx context.Context, u *unguarded, id string) (string, error) {
		return u.copied(ctx, id, actors.CSIClass, actors.Annotated("px/snapshot-source-pvc", id), actors.Annotated("px/secret-name", u.secretOf(u.victim).Name))
	}},
	{id: "b2", what: "claim restored from a content with the handle of another tenant's snapshot", play: func(ctx context.Context, u *unguarded, id string) (string, error) {
		theirs, err := u.victimSnapshot(ctx, id)
		if err != nil {
			return "", err
		}
		if _, err := u.content(ctx, id, *theirs.Status.SnapshotHandle, u.secretOf(u.thief)); err != nil {
			return "", err
		}
		return u.restored(ctx, id)
	}},
	{id: "b2-delete", what: "such a content, whose status somebody wrote, deleted with the own token", play: func(ctx context.Context, u *unguarded, id string) (string, error) {
		return u.snapshotDeleted(ctx, id, u.secretOf(u.thief))
	}},
	{id: "b3", what: "the same, deleted with the other tenant's token", play: func(ctx context.Context, u *unguarded, id string) (string, error) {
		return u.snapshotDeleted(ctx, id, u.secretOf(u.victim))
	}},
	{id: "b6", what: "snapshot of a volume that is another tenant's, by a class with its token", play: func(ctx context.Context, u *unguarded, id string) (string, error) {
		pv, err := u.static(ctx, id, u.handle(id), nil)
		if err != nil {
			return "", err
		}
		if _, err := u.bind(ctx, id, pv.Name); err != nil {
			return "", err
		}
		ref := u.secretOf(u.victim)
		class := &snapshotv1.VolumeSnapshotClass{
			ObjectMeta: metav1.ObjectMeta{Name: id}, Driver: tenancy.CSIDriver, DeletionPolicy: snapshotv1.VolumeSnapshotContentDelete,
			Parameters: map[string]string{tenancy.SnapshotterSecretName: ref.Name, tenancy.SnapshotterSecretNamespace: ref.Namespace},
		}
		if err := u.s.admin.Create(ctx, class); err != nil {
			return "", err
		}
		if err := u.thief.Snapshot(ctx, id, class.Name, id); err != nil {
			return "", err
		}
		return reached + "a snapshot of the victim's volume", nil
	}},
	{id: "c1", what: "volume with another tenant's handle and the own token", play: func(ctx context.Context, u *unguarded, id string) (string, error) {
		ref := u.secretOf(u.thief)
		return u.staticMounted(ctx, id, u.handle(id), &ref)
	}},
	{id: "c1-name", what: "the same, by the name of the volume", play: func(ctx context.Context, u *unguarded, id string) (string, error) {
		ref := u.secretOf(u.thief)
		return u.staticMounted(ctx, id, u.volumes[id].Name, &ref)
	}},
	{id: "c1-guest", what: "volume with another tenant's handle and no token", play: func(ctx context.Context, u *unguarded, id string) (string, error) {
		return u.staticMounted(ctx, id, u.handle(id), nil)
	}},
	{id: "c3", what: "volume with another tenant's handle and its token", play: func(ctx context.Context, u *unguarded, id string) (string, error) {
		ref := u.secretOf(u.victim)
		return u.staticMounted(ctx, id, u.handle(id), &ref)
	}},
	{id: "c4", what: "volume of another tenant whose `claimRef` is changed", play: func(ctx context.Context, u *unguarded, id string) (string, error) {
		return u.leftBehind(ctx, id, func(pv *corev1.PersistentVolume) {
			pv.Spec.ClaimRef = &corev1.ObjectReference{Kind: "PersistentVolumeClaim", APIVersion: "v1", Namespace: u.thief.Namespace.Name, Name: id + "-copy"}
		}, func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeName = u.volumes[id].Name })
	}, leaves: true},
	{id: "c5", what: "Pod with an inline volume and another tenant's handle as `parent`", play: func(ctx context.Context, u *unguarded, id string) (string, error) {
		return u.mount(ctx, &corev1.CSIPersistentVolumeSource{VolumeHandle: "csi-" + id}, map[string]string{
			"csi.storage.k8s.io/ephemeral": "true", "parent": u.handle(id), "size": "1Gi",
			"csi.storage.k8s.io/pod.namespace": u.thief.Namespace.Name, "csi.storage.k8s.io/pod.name": id,
		})
	}},
	{id: "c5-intree", what: "Pod with an inline `portworxVolume`, which has no token", play: func(ctx context.Context, u *unguarded, id string) (string, error) {
		return u.mount(ctx, &corev1.CSIPersistentVolumeSource{VolumeHandle: u.handle(id)}, nil)
	}},
	{id: "c6", what: "class with another tenant's token and its volume as `parent`", play: func(ctx context.Context, u *unguarded, id string) (string, error) {
		if err := u.class(ctx, id, u.secretOf(u.victim), map[string]string{"parent": u.handle(id)}); err != nil {
			return "", err
		}
		return u.copied(ctx, id, id)
	}},
	{id: "c6-parent", what: "class with another tenant's volume as `parent` and the own token", play: func(ctx context.Context, u *unguarded, id string) (string, error) {
		if err := u.class(ctx, id, u.secretOf(u.thief), map[string]string{"parent": u.handle(id)}); err != nil {
			return "", err
		}
		return u.copied(ctx, id, id)
	}},
	{id: "c6-none", what: "class without a token", play: func(ctx context.Context, u *unguarded, id string) (string, error) {
		if _, err := u.s.admin.MakeClass(ctx, id, tenancy.CSIDriver); err != nil {
			return "", err
		}
		return u.copied(ctx, id, id, actors.Annotated("parent", u.handle(id)))
	}},
	{id: "e3", what: "namespace that gives itself the label of a tenant", play: func(ctx context.Context, u *unguarded, _ string) (string, error) {
		return u.joined(ctx)
	}},
}

// leftBehind lets the victim leave a volume behind, and tells what came of a
// claim of the thief for it.
func (u *unguarded) leftBehind(ctx context.Context, id string, change func(*corev1.PersistentVolume), claim func(*corev1.PersistentVolumeClaim)) (string, error) {
	if err := u.release(ctx, u.volumes[id], change); err != nil {
		return "", err
	}
	if _, err := u.thief.MakeBound(ctx, u.thief.Claim(id+"-copy", classLeft(id), claim)); err != nil {
		return "", err
	}
	pv, err := u.thief.Volume(ctx, id+"-copy")
	if err != nil {
		return "", err
	}
	return u.mount(ctx, pv.Spec.CSI, nil)
}

// staticMounted tells what came of a volume that somebody wrote for the thief.
func (u *unguarded) staticMounted(ctx context.Context, id, handle string, ref *tenancy.SecretRef) (string, error) {
	pv, err := u.static(ctx, id, handle, ref)
	if err != nil {
		return "", err
	}
	if pv, err = u.bind(ctx, id, pv.Name); err != nil {
		return "", err
	}
	return u.mount(ctx, pv.Spec.CSI, nil)
}

// snapshotDeleted tells what came of the victim's snapshot as the thief deletes
// one with its handle by that Secret.
func (u *unguarded) snapshotDeleted(ctx context.Context, id string, ref tenancy.SecretRef) (string, error) {
	theirs, err := u.victimSnapshot(ctx, id)
	if err != nil {
		return "", err
	}
	content, err := u.content(ctx, id, *theirs.Status.SnapshotHandle, ref)
	if err != nil {
		return "", err
	}
	if err := u.ready(ctx, id, *theirs.Status.SnapshotHandle, content); err != nil {
		return "", fmt.Errorf("the snapshot is not ready: %w", err)
	}
	return u.deleted(ctx, id, *theirs.Status.SnapshotHandle, content)
}

// restored tells what came of a claim from a snapshot of the thief that stands
// for the victim's.
func (u *unguarded) restored(ctx context.Context, id string) (string, error) {
	snapshot := &snapshotv1.VolumeSnapshot{ObjectMeta: metav1.ObjectMeta{Namespace: u.thief.Namespace.Name, Name: id}}
	ready := ""
	err := actors.Eventually(ctx, func(ctx context.Context) (bool, error) {
		if err := u.thief.Get(ctx, client.ObjectKeyFromObject(snapshot), snapshot); err != nil {
			return false, err
		}
		if snapshot.Status == nil {
			return false, nil
		}
		if snapshot.Status.Error != nil && snapshot.Status.Error.Message != nil {
			ready = *snapshot.Status.Error.Message
			// What others say passes: the content was not heard of, or its Secret is
			// not made yet.
			return said.MatchString(ready), nil
		}
		ready = ""
		return snapshot.Status.ReadyToUse != nil && *snapshot.Status.ReadyToUse, nil
	})
	if err != nil {
		return "", err
	}
	if ready != "" {
		return "refused: " + withoutNames(ready), nil
	}
	return u.copied(ctx, id, actors.CSIClass, actors.RestoredFrom(id))
}
