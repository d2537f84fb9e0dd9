package webhook

import (
	"context"
	"maps"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
)

// ruleB6: a snapshot class makes and deletes snapshots with the token of the
// snapshot's own namespace.
var ruleB6 = rule[*review[snapshotv1.VolumeSnapshotClass]]{id: "BH-B6", check: func(_ context.Context, l *lookup, r *review[snapshotv1.VolumeSnapshotClass]) ([]Denial, error) {
	if !l.drivers.IsCSI(r.object.Driver) {
		return nil, nil
	}
	var old map[string]string
	if r.old != nil {
		old = map[string]string{}
		maps.Copy(old, r.old.Parameters)
	}
	return wrongSecrets(r.object.Parameters, old, allPairs(l.layout.SnapshotClassParameters())), nil
}}
