package webhook

import (
	"context"
	"fmt"

	groupsnapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumegroupsnapshot/v1"
)

// groupSnapshotClasses of our drivers get the token of the group's namespace.
var groupSnapshotClasses = resource[groupsnapshotv1.VolumeGroupSnapshotClass, *review[groupsnapshotv1.VolumeGroupSnapshotClass]]{
	prepare: asIs[groupsnapshotv1.VolumeGroupSnapshotClass],
	inject:  injectGroupSnapshotClass,
	rules:   []rule[*review[groupsnapshotv1.VolumeGroupSnapshotClass]]{ruleB4Class},
}

func injectGroupSnapshotClass(_ context.Context, l *lookup, r *review[groupsnapshotv1.VolumeGroupSnapshotClass]) (patch, error) {
	if !l.drivers.IsCSI(r.object.Driver) {
		return nil, nil
	}
	pairs := l.layout.GroupSnapshotClassParameters()
	entries := absentPairs(r.object.Parameters, pairs)
	if r.old != nil {
		entries = carriedOver(r.old.Parameters, r.object.Parameters, pairs)
	}
	var p patch
	p.setEntries("/parameters", r.object.Parameters, entries)
	return p, nil
}

// groupSnapshots are only judged.
var groupSnapshots = resource[groupsnapshotv1.VolumeGroupSnapshot, *review[groupsnapshotv1.VolumeGroupSnapshot]]{
	prepare: asIs[groupsnapshotv1.VolumeGroupSnapshot],
	rules:   []rule[*review[groupsnapshotv1.VolumeGroupSnapshot]]{ruleB4Snapshot},
}

// groupContents are guarded as the contents of single snapshots are.
var groupContents = resource[groupsnapshotv1.VolumeGroupSnapshotContent, *contentReview]{
	prepare: reviewGroupContent,
	inject:  injectContent,
	rules:   []rule[*contentReview]{ruleB4Content, ruleC7Content},
}

func reviewGroupContent(_ context.Context, l *lookup, r *review[groupsnapshotv1.VolumeGroupSnapshotContent]) (*contentReview, error) {
	state := func(c *groupsnapshotv1.VolumeGroupSnapshotContent) *contentState {
		return &contentState{c.Spec.Driver, c.Spec.VolumeGroupSnapshotRef, c.Annotations, groupHandlesOf(c)}
	}
	c := newContentReview(l, r.user.Username, *state(r.object), oldOf(r, state))
	c.refField, c.pairs = "spec.volumeGroupSnapshotRef", l.layout.GroupContentAnnotations(c.ref.Namespace)
	c.provisioned = func(context.Context) (bool, error) { return false, nil }
	return c, nil
}

// groupHandlesOf are the volumes and snapshots of a group. The handle of the
// group itself is none that the storage cluster could be asked about.
func groupHandlesOf(content *groupsnapshotv1.VolumeGroupSnapshotContent) []enteringHandle {
	var handles []enteringHandle
	for i, handle := range content.Spec.Source.VolumeHandles {
		handles = append(handles, enteringHandle{fmt.Sprintf("spec.source.volumeHandles[%d]", i), handle})
	}
	if group := content.Spec.Source.GroupSnapshotHandles; group != nil {
		for i, handle := range group.VolumeSnapshotHandles {
			handles = append(handles, enteringHandle{fmt.Sprintf("spec.source.groupSnapshotHandles.volumeSnapshotHandles[%d]", i), handle})
		}
	}
	if content.Status != nil {
		for i, info := range content.Status.VolumeSnapshotInfoList {
			handles = append(handles,
				enteringHandle{fmt.Sprintf("status.volumeSnapshotInfoList[%d].volumeHandle", i), info.VolumeHandle},
				enteringHandle{fmt.Sprintf("status.volumeSnapshotInfoList[%d].snapshotHandle", i), info.SnapshotHandle})
		}
	}
	return handles
}
