package webhook

import (
	"context"
	"fmt"
	"slices"
)

// ruleA2: a claim takes its data from claims and snapshots, whose volumes are
// guarded. What another kind stands for is known to its populator alone, which
// acts with rights of its own.
var ruleA2 = rule[*claimReview]{id: "BH-A2", check: func(_ context.Context, l *lookup, r *claimReview) ([]Denial, error) {
	if !r.enters {
		return nil, nil
	}
	for _, s := range sources(r.object) {
		kind := s.kind + "." + s.group
		if slices.Contains(guardedKinds, kind) || l.policy.sourceKinds[kind] {
			continue
		}
		d := unguardedKind.at(s.field + ".kind")
		d.Message = fmt.Sprintf("%.80q ", kind) + d.Message
		return []Denial{d}, nil
	}
	return nil, nil
}}

// guardedKinds are "<kind>.<group>", the core group being empty.
var guardedKinds = []string{"PersistentVolumeClaim.", "VolumeSnapshot.snapshot.storage.k8s.io"}

// unguardedKind lacks the kind, with which its message begins.
var unguardedKind = Denial{
	Message: "is not among the kinds that a claim may take its data from",
	Mend:    "name a PersistentVolumeClaim or a VolumeSnapshot, or ask the cluster admin to allow the kind",
}
