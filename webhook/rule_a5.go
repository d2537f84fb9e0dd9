package webhook

import "context"

// ruleA5: the annotations that point to the token are Bulkhead's. Where a claim
// becomes ours injection has overwritten them already; here a later change is
// refused, and a wrong one on a claim of any class: it may bind to a volume of
// ours, and Stork acts on the annotation alone.
var ruleA5 = rule[*claimReview]{id: "BH-A5", check: func(_ context.Context, l *lookup, r *claimReview) ([]Denial, error) {
	var denials []Denial
	want := allPairs(l.layout.ClaimAnnotations(r.namespace))
	for key := range want {
		have, present := r.object.Annotations[key]
		if !present || have == want[key] {
			continue
		}
		if r.old != nil && !r.enters {
			if was, had := r.old.Annotations[key]; had && was == have {
				continue
			}
		}
		denials = append(denials, foreignToken.at("metadata.annotations["+key+"]"))
	}
	// The driver takes labels for parameters too, and nobody else has a use for these.
	for key := range want {
		if changed(r.object.Labels, oldOf(r.review, labelsOfClaim), key) || (r.enters && has(r.object.Labels, key)) {
			denials = append(denials, labelledToken.at("metadata.labels["+key+"]"))
		}
	}
	return sorted(denials), nil
}}

var (
	foreignToken = Denial{
		Message: "this annotation points to the token of the claim's own namespace and nowhere else",
		Mend:    "leave it out, it is filled in",
	}
	labelledToken = Denial{
		Message: "the storage driver would take this label for the Secret to use",
		Mend:    "remove it",
	}
)
