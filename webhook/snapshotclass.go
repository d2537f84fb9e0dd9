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
	if !l.drivers.IsCSI(r.object.Driver) {
		return nil, nil
	}
	pairs := l.layout.SnapshotClassParameters()
	var old map[string]string
	if r.old != nil && l.drivers.IsCSI(r.old.Driver) {
		// As for StorageClasses, applying the original manifest again changes
		// nothing. These parameters are mutable, though: what neither has comes
		// with the first update after the install.
		old = r.old.Parameters
	}
	entries := completed(old, r.object.Parameters, pairs)
	var p patch
	p.setEntries("/parameters", r.object.Parameters, entries)
	return p, nil
}
