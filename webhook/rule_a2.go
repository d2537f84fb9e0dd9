package webhook

import (
	"context"
	"fmt"
)

// ruleA2: a claim takes its data from claims and snapshots, whose volumes are
// guarded. What another kind stands for is known to its populator alone, which
// acts with rights of its own.
var ruleA2 = rule[*claimReview]{id: "BH-A2", check: func(_ context.Context, l *lookup, r *claimReview) ([]Denial, error) {
	if !r.enters {
		return nil, nil
	}
	for _, s := range sources(r.object) {
		if s.isClaim() || s.isSnapshot() || l.policy.sourceKinds[s.kind+"."+s.group] {
			continue
		}
		return []Denial{{
			Field:   s.field + ".kind",
			Message: fmt.Sprintf("%.80q is not among the kinds that a claim may take its data from", s.kind+"."+s.group),
			Mend:    "name a PersistentVolumeClaim or a VolumeSnapshot, or ask the cluster admin to allow the kind",
		}}, nil
	}
	return nil, nil
}}
