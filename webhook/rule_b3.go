package webhook

import (
	"context"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
)

// ruleB3: a snapshot is deleted with the token of the namespace that it is for.
// The snapshotter would use any Secret that the annotations name.
var ruleB3 = rule[*review[snapshotv1.VolumeSnapshotContent]]{id: "BH-B3", check: func(_ context.Context, l *lookup, r *review[snapshotv1.VolumeSnapshotContent]) ([]Denial, error) {
	if !l.drivers.IsCSI(r.object.Spec.Driver) {
		return nil, nil
	}
	pairs := l.layout.ContentAnnotations(r.object.Spec.VolumeSnapshotRef.Namespace)
	switch {
	case r.old == nil:
		return foreignReferences(r.object.Annotations, pairs), nil
	case r.user.Username == l.sidecar:
		return nil, nil
	}
	return changedReferences(r.object.Annotations, r.old.Annotations, pairs), nil
}}
