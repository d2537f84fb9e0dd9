package webhook

import snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"

// snapshots are only judged: what points to the token is in their class and
// their content.
var snapshots = resource[snapshotv1.VolumeSnapshot, *review[snapshotv1.VolumeSnapshot]]{
	prepare: asIs[snapshotv1.VolumeSnapshot],
	rules:   []rule[*review[snapshotv1.VolumeSnapshot]]{ruleB1},
}
