package webhook

import (
	"context"
	"fmt"

	groupsnapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumegroupsnapshot/v1"
	groupsnapshotv1beta1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumegroupsnapshot/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	if r.old != nil && l.drivers.IsCSI(r.old.Driver) {
		// Parameters are immutable in v1.
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
var groupContents = resource[anyGroupContent, *contentReview]{
	prepare: reviewGroupContent,
	inject:  injectContent,
	rules:   []rule[*contentReview]{ruleB4Content, ruleC7Content},
}

// anyGroupContent is what is read of a VolumeGroupSnapshotContent of any version.
type anyGroupContent struct {
	metav1.ObjectMeta `json:"metadata"`

	Spec   groupsnapshotv1.VolumeGroupSnapshotContentSpec `json:"spec"`
	Status struct {
		Infos []groupsnapshotv1.VolumeSnapshotInfo `json:"volumeSnapshotInfoList"`
		// Pairs are what v1beta1 has in their place.
		Pairs []groupsnapshotv1beta1.VolumeSnapshotHandlePair `json:"volumeSnapshotHandlePairList"`
	} `json:"status"`
}

func reviewGroupContent(_ context.Context, l *lookup, r *review[anyGroupContent]) (*contentReview, error) {
	state := func(c *anyGroupContent) *contentState {
		return &contentState{c.Spec.Driver, c.Spec.VolumeGroupSnapshotRef, c.Annotations, groupHandlesOf(c)}
	}
	c := newContentReview(l, r.user.Username, *state(r.object), oldOf(r, state))
	c.refField, c.pairs = "spec.volumeGroupSnapshotRef", l.layout.GroupContentAnnotations(c.ref.Namespace)
	c.snapshotted = func(context.Context) (bool, error) { return false, nil }
	return c, nil
}

// groupHandlesOf are the volumes and snapshots of a group. The handle of the
// group itself is none that the storage cluster could be asked about.
func groupHandlesOf(content *anyGroupContent) []enteringHandle {
	var handles []enteringHandle
	for i, handle := range content.Spec.Source.VolumeHandles {
		handles = append(handles, enteringHandle{fmt.Sprintf("spec.source.volumeHandles[%d]", i), handle})
	}
	if group := content.Spec.Source.GroupSnapshotHandles; group != nil {
		for i, handle := range group.VolumeSnapshotHandles {
			handles = append(handles, enteringHandle{fmt.Sprintf("spec.source.groupSnapshotHandles.volumeSnapshotHandles[%d]", i), handle})
		}
	}
	for i, info := range content.Status.Infos {
		handles = append(handles,
			enteringHandle{fmt.Sprintf("status.volumeSnapshotInfoList[%d].volumeHandle", i), info.VolumeHandle},
			enteringHandle{fmt.Sprintf("status.volumeSnapshotInfoList[%d].snapshotHandle", i), info.SnapshotHandle})
	}
	for i, pair := range content.Status.Pairs {
		handles = append(handles,
			enteringHandle{fmt.Sprintf("status.volumeSnapshotHandlePairList[%d].volumeHandle", i), pair.VolumeHandle},
			enteringHandle{fmt.Sprintf("status.volumeSnapshotHandlePairList[%d].snapshotHandle", i), pair.SnapshotHandle})
	}
	return handles
}
