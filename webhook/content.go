package webhook

import (
	"context"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// contents of our drivers get the reference by which the snapshot is deleted
// with the token of its own namespace, and say whose they are.
var contents = resource[snapshotv1.VolumeSnapshotContent, *contentReview]{
	prepare: reviewContent,
	inject:  injectContent,
	rules:   []rule[*contentReview]{ruleB2, ruleB3, ruleB5},
}

// contentReview is a content of a snapshot or of a group of them: the two are
// guarded alike.
type contentReview struct {
	// ours is whether one of our drivers made it.
	ours bool
	// enters is whether it becomes ours by this request. The driver of a content
	// can be changed.
	enters bool
	// namespace and name are those of the snapshot that it is for, before the
	// update in wasFor. refField is the field that says so.
	namespace string
	wasFor    types.NamespacedName
	isFor     types.NamespacedName
	refField  string
	// handles are those that this request brings, by field.
	handles []enteringHandle
	// provisioned is whether the handle is known to be the tenant's.
	provisioned func(context.Context) (bool, error)
	// annotations and those before the update, and what belongs there.
	annotations, old map[string]string
	pairs            []tenancy.Pair
	user             string
}

// enteringHandle is the name of a volume or snapshot on the storage cluster,
// which may be an id or a name.
type enteringHandle struct{ field, handle string }

func reviewContent(_ context.Context, l *lookup, r *review[snapshotv1.VolumeSnapshotContent]) (*contentReview, error) {
	ref := r.object.Spec.VolumeSnapshotRef
	c := &contentReview{
		ours: l.drivers.IsCSI(r.object.Spec.Driver), enters: r.old == nil || !l.drivers.IsCSI(r.old.Spec.Driver),
		namespace: ref.Namespace, isFor: types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}, refField: "spec.volumeSnapshotRef",
		provisioned: func(ctx context.Context) (bool, error) { return l.snapshotted(ctx, r.object) },
		annotations: r.object.Annotations, pairs: l.layout.ContentAnnotations(ref.Namespace), user: r.user.Username,
	}
	var known []string
	if r.old != nil {
		c.old = r.old.Annotations
		c.wasFor = types.NamespacedName{Namespace: r.old.Spec.VolumeSnapshotRef.Namespace, Name: r.old.Spec.VolumeSnapshotRef.Name}
		if !c.enters {
			for _, h := range handlesOf(r.old) {
				known = append(known, h.handle)
			}
		}
	}
	c.handles = newHandles(handlesOf(r.object), known)
	return c, nil
}

// handlesOf are the handles of a content: where it comes from, and what the
// driver made of it, from which claims are restored.
func handlesOf(content *snapshotv1.VolumeSnapshotContent) []enteringHandle {
	handles := []enteringHandle{
		{"spec.source.volumeHandle", valueOf(content.Spec.Source.VolumeHandle)},
		{"spec.source.snapshotHandle", valueOf(content.Spec.Source.SnapshotHandle)},
	}
	if content.Status != nil {
		handles = append(handles, enteringHandle{"status.snapshotHandle", valueOf(content.Status.SnapshotHandle)})
	}
	return handles
}

func injectContent(ctx context.Context, l *lookup, r *contentReview) (patch, error) {
	if !r.ours {
		return nil, nil
	}
	var p patch
	if !r.enters {
		p.putBack(r.annotations, r.old, r.pairs)
		return p, nil
	}
	pairs := r.pairs
	if r.namespace == "" {
		pairs = nil // the API server refuses a content that names no snapshot
	}
	return p, p.attribute(ctx, l, r.annotations, absentPairs(r.annotations, pairs), r.namespace)
}
