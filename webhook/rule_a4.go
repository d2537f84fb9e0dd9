package webhook

import (
	"context"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// ruleA4: a claim carries no annotation or label that the driver would take for
// a parameter that reaches for other volumes, secrets or the network.
var ruleA4 = rule[corev1.PersistentVolumeClaim]{id: "BH-A4", check: func(ctx context.Context, l *lookup, r *review[corev1.PersistentVolumeClaim]) ([]Denial, error) {
	if r.old != nil && r.old.Spec.VolumeName != "" {
		return nil, nil // the driver reads them once, when it makes the volume
	}
	ours, err := l.ownsClaim(ctx, r.object)
	if err != nil || !ours {
		return nil, err
	}
	var oldAnnotations, oldLabels map[string]string
	// A claim that gets its class by the update is judged whole.
	if r.old != nil && className(r.old) == className(r.object) {
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
