package webhook

import (
	"context"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
)

// ruleB1: a snapshot binds to a content of ours only if that is kept for it, and
// by this tenant: a content that a namespace of the same name left behind is
// another's.
var ruleB1 = rule[*review[snapshotv1.VolumeSnapshot]]{id: "BH-B1", check: func(ctx context.Context, l *lookup, r *review[snapshotv1.VolumeSnapshot]) ([]Denial, error) {
	name := valueOf(r.object.Spec.Source.VolumeSnapshotContentName)
	if name == "" || (r.old != nil && valueOf(r.old.Spec.Source.VolumeSnapshotContentName) == name) {
		return nil, nil
	}
	tenant, found, err := l.tenant(ctx, r.namespace)
	if err != nil || !found {
		return nil, err
	}
	content, found, err := l.content(ctx, name)
	if err != nil || !found || l.contentKeptFor(content, tenant, r.object.Name, r.object.UID) {
		return nil, err
	}
	return []Denial{{
		Field:   "spec.source.volumeSnapshotContentName",
		Message: "this content is not kept for this snapshot",
		Mend:    "ask the cluster admin to name the snapshot in the content's spec.volumeSnapshotRef",
	}}, nil
}}
