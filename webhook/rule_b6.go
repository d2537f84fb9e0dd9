package webhook

import (
	"context"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
)

// ruleB6: a snapshot class makes and deletes snapshots with the token of the
// snapshot's own namespace.
var ruleB6 = rule[*review[snapshotv1.VolumeSnapshotClass]]{id: "BH-B6", check: func(_ context.Context, l *lookup, r *review[snapshotv1.VolumeSnapshotClass]) ([]Denial, error) {
	if !l.drivers.IsCSI(r.object.Driver) {
		return nil, nil
	}
	var old map[string]string
	if r.old != nil && l.drivers.IsCSI(r.old.Driver) { // neither is immutable
		old = parametersBefore(r.old.Parameters)
	}
	return wrongSecrets(r.object.Parameters, old, allPairs(l.layout.SnapshotClassParameters())), nil
}}

// parametersBefore are those before an update, never nil.
func parametersBefore(parameters map[string]string) map[string]string {
	if parameters == nil {
		return map[string]string{}
	}
	return parameters
}
