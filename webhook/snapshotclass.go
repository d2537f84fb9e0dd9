package webhook

import (
	"context"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
)

// snapshotClasses of our drivers get the parameters that make and delete
// snapshots with the token of the snapshot's namespace.
var snapshotClasses = resource[snapshotv1.VolumeSnapshotClass, *review[snapshotv1.VolumeSnapshotClass]]{
	prepare: asIs[snapshotv1.VolumeSnapshotClass],
	inject:  injectSnapshotClass,
	rules:   []rule[*review[snapshotv1.VolumeSnapshotClass]]{ruleB6},
}

func injectSnapshotClass(_ context.Context, l *lookup, r *review[snapshotv1.VolumeSnapshotClass]) (patch, error) {
	var p patch
	if l.drivers.IsCSI(r.object.Driver) {
		p.setEntries("/parameters", r.object.Parameters,
			absentPairs(r.object.Parameters, l.layout.SnapshotClassParameters()))
	}
	return p, nil
}
