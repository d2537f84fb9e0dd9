package webhook

import (
	"context"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
)

// contents of our drivers get the reference by which the snapshot is deleted
// with the token of its own namespace, and say whose they are.
var contents = resource[snapshotv1.VolumeSnapshotContent, *review[snapshotv1.VolumeSnapshotContent]]{
	prepare: asIs[snapshotv1.VolumeSnapshotContent],
	inject:  injectContent,
	rules:   []rule[*review[snapshotv1.VolumeSnapshotContent]]{ruleB3},
}

func injectContent(ctx context.Context, l *lookup, r *review[snapshotv1.VolumeSnapshotContent]) (patch, error) {
	content := r.object
	if !l.drivers.IsCSI(content.Spec.Driver) {
		return nil, nil
	}
	namespace := content.Spec.VolumeSnapshotRef.Namespace
	pairs := l.layout.ContentAnnotations(namespace)
	var p patch
	if r.old != nil {
		p.putBack(content.Annotations, r.old.Annotations, pairs)
		return p, nil
	}
	if namespace == "" {
		pairs = nil // the API server refuses a content that names no snapshot
	}
	return p, p.attribute(ctx, l, content.Annotations, absentPairs(content.Annotations, pairs), namespace)
}
