package webhook

import (
	"context"

	corev1 "k8s.io/api/core/v1"
)

// claims of our classes get the annotations by which Stork and the legacy path
// find the token.
var claims = resource[corev1.PersistentVolumeClaim]{
	inject: injectClaim,
	rules:  []rule[corev1.PersistentVolumeClaim]{ruleA1, ruleA4, ruleA5},
}

func injectClaim(ctx context.Context, l *lookup, r *review[corev1.PersistentVolumeClaim]) (patch, error) {
	ours, err := l.ownsClaim(ctx, r.object)
	if err != nil || !ours {
		return nil, err
	}
	entries := allPairs(l.layout.ClaimAnnotations(r.namespace))
	if r.old != nil {
		// An update is not the place to overwrite: rule A5 refuses a change,
		// and what an update leaves out is put back.
		entries = absentPairs(r.object.Annotations, l.layout.ClaimAnnotations(r.namespace))
	}
	var p patch
	p.setEntries("/metadata/annotations", r.object.Annotations, entries)
	return p, nil
}
