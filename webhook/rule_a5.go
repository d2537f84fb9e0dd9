package webhook

import (
	"context"

	corev1 "k8s.io/api/core/v1"
)

// ruleA5: the annotations that point to the token are Bulkhead's. On creation
// injection has overwritten them already; here a later change is refused.
var ruleA5 = rule[corev1.PersistentVolumeClaim]{id: "BH-A5", check: func(ctx context.Context, l *lookup, r *review[corev1.PersistentVolumeClaim]) ([]Denial, error) {
	ours, err := l.ownsClaim(ctx, r.object)
	if err != nil || !ours {
		return nil, err
	}
	var denials []Denial
	for key, want := range allPairs(l.layout.ClaimAnnotations(r.namespace)) {
		have := r.object.Annotations[key]
		if have == want || (r.old != nil && r.old.Annotations[key] == have) {
			continue
		}
		denials = append(denials, Denial{
			Field:   "metadata.annotations[" + key + "]",
			Message: "this annotation points to the token of the claim's own namespace and nowhere else",
			Mend:    "leave it out, it is filled in",
		})
	}
	return denials, nil
}}
