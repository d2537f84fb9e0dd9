package webhook

import (
	"context"

	corev1 "k8s.io/api/core/v1"
)

// claims of our classes get the annotations by which Stork and the legacy path
// find the token.
var claims = resource[corev1.PersistentVolumeClaim, *claimReview]{
	prepare: reviewClaim,
	inject:  injectClaim,
	rules:   []rule[*claimReview]{ruleA1, ruleA4, ruleA5},
}

// claimReview is a claim and whose it is.
type claimReview struct {
	*review[corev1.PersistentVolumeClaim]

	// ours is whether one of our drivers makes the claim's volume.
	ours bool
	// enters is whether it becomes ours by this request: by being created, or by
	// getting its class, which the API server lets be added later.
	enters bool
}

func reviewClaim(ctx context.Context, l *lookup, r *review[corev1.PersistentVolumeClaim]) (*claimReview, error) {
	ours, err := l.ownsClaim(ctx, r.object)
	if err != nil {
		return nil, err
	}
	return &claimReview{review: r, ours: ours, enters: ours && (r.old == nil || className(r.old) != className(r.object))}, nil
}

func injectClaim(_ context.Context, l *lookup, r *claimReview) (patch, error) {
	if !r.ours {
		return nil, nil
	}
	pairs := l.layout.ClaimAnnotations(r.namespace)
	entries := allPairs(pairs)
	if !r.enters {
		// A later update is not the place to overwrite: rule A5 refuses a change,
		// and what the update leaves out is put back.
		entries = absentPairs(r.object.Annotations, pairs)
	}
	var p patch
	p.setEntries("/metadata/annotations", r.object.Annotations, entries)
	return p, nil
}
