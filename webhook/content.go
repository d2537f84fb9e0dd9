package webhook

import (
	"context"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// contents of our drivers get the reference by which the snapshot is deleted
// with the token of its own namespace, and say whose they are.
var contents = resource[snapshotv1.VolumeSnapshotContent, *contentReview]{
	prepare: reviewContent,
	inject:  injectContent,
	rules:   []rule[*contentReview]{ruleB2, ruleB3, ruleB5, ruleC7Content},
}

// contentState is a content of a snapshot or of a group of them, as it is or as
// it was before an update: the two kinds are guarded alike.
type contentState struct {
	driver      string
	ref         corev1.ObjectReference
	annotations map[string]string
	handles     []enteringHandle
}

// contentReview is what a request makes of a content.
type contentReview struct {
	contentState

	// was is nil where the content becomes ours by this request: by being made,
	// or by its driver, which can be changed.
	was *contentState
	// formerDriver is the driver before an update.
	formerDriver string
	// ours is whether one of our drivers made it.
	ours bool
	// refField is the field that names the snapshot.
	refField string
	// entering are the handles that this request brings.
	entering []enteringHandle
	// snapshotted is whether the content is what the snapshot controller makes for
	// a claim of the tenant, so that its volumeHandle is known to be the tenant's.
	snapshotted func(context.Context) (bool, error)
	// pairs are the annotations that belong there.
	pairs []tenancy.Pair
	user  string
}

// enteringHandle is the name of a volume or snapshot on the storage cluster,
// which may be an id or a name, and the field that brings it.
type enteringHandle struct{ field, handle string }

func newContentReview(l *lookup, user string, is contentState, was *contentState) *contentReview {
	r := &contentReview{contentState: is, ours: l.drivers.IsCSI(is.driver), user: user}
	var known []string
	if was != nil {
		r.formerDriver = was.driver
	}
	if was != nil && l.drivers.IsCSI(was.driver) {
		r.was = was
		for _, h := range was.handles {
			known = append(known, h.handle)
		}
	}
	r.entering = newHandles(is.handles, known)
	return r
}

// before are the annotations before the update, none where the content enters.
func (r *contentReview) before() map[string]string {
	if r.was == nil {
		return nil
	}
	return r.was.annotations
}

func reviewContent(_ context.Context, l *lookup, r *review[snapshotv1.VolumeSnapshotContent]) (*contentReview, error) {
	state := func(c *snapshotv1.VolumeSnapshotContent) *contentState {
		return &contentState{c.Spec.Driver, c.Spec.VolumeSnapshotRef, c.Annotations, handlesOf(c)}
	}
	c := newContentReview(l, r.user.Username, *state(r.object), oldOf(r, state))
	c.refField, c.pairs = "spec.volumeSnapshotRef", l.layout.ContentAnnotations(c.ref.Namespace)
	c.snapshotted = func(ctx context.Context) (bool, error) { return l.snapshotted(ctx, r.object) }
	return c, nil
}

const volumeHandleField = "spec.source.volumeHandle"

// handlesOf are the handles of a content: where it comes from, and what the
// driver made of it, from which claims are restored.
func handlesOf(content *snapshotv1.VolumeSnapshotContent) []enteringHandle {
	handles := []enteringHandle{
		{volumeHandleField, valueOf(content.Spec.Source.VolumeHandle)},
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
	if r.was != nil {
		p.putBack(r.annotations, r.was.annotations, r.pairs)
		return p, nil
	}
	pairs := r.pairs
	if r.ref.Namespace == "" {
		pairs = nil // the API server refuses a content that names no snapshot
	}
	return p, p.attribute(ctx, l, r.annotations, absentPairs(r.annotations, pairs), r.ref.Namespace)
}
