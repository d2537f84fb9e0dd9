package webhook

import (
	"context"
	"maps"
	"slices"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// ruleA4: a claim carries no annotation or label that the driver would take for
// a parameter that reaches for other volumes, secrets or the network.
var ruleA4 = rule[*claimReview]{id: "BH-A4", check: func(_ context.Context, _ *lookup, r *claimReview) ([]Denial, error) {
	if !r.ours || (r.old != nil && r.old.Spec.VolumeName != "") {
		return nil, nil // the driver reads them once, when it makes the volume
	}
	var oldAnnotations, oldLabels map[string]string
	if !r.enters {
		oldAnnotations, oldLabels = r.old.Annotations, r.old.Labels
	}
	return append(
		forbiddenKeys("metadata.annotations", r.object.Annotations, oldAnnotations),
		forbiddenKeys("metadata.labels", r.object.Labels, oldLabels)...,
	), nil
}}

func forbiddenKeys(field string, current, old map[string]string) []Denial {
	var denials []Denial
	for _, key := range slices.Sorted(maps.Keys(current)) {
		if was, had := old[key]; had && was == current[key] {
			continue
		}
		if tenancy.Classify(key) == tenancy.Forbidden {
			denials = append(denials, Denial{
				Field:   field + "[" + key + "]",
				Message: "the storage driver would take this key for a volume parameter that a claim may not set",
				Mend:    "remove it, or ask the cluster admin for a StorageClass with that parameter",
			})
		}
	}
	return denials
}
