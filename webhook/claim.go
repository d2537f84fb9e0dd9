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
	rules: []rule[*claimReview]{
		ruleA1, ruleA2, ruleA3, ruleA4, ruleA5, ruleA6, ruleA7, ruleA8, ruleA9Claim, ruleA10, ruleD3Claim,
	},
	within: []rule[*claimReview]{ruleA1, ruleA2, ruleA4, ruleA5, ruleA10},
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
	ours, err := l.ownsClass(ctx, className(r.object))
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
		entries = completed(r.old.Annotations, r.object.Annotations, pairs)
	}
	var p patch
	p.setEntries("/metadata/annotations", r.object.Annotations, entries)
	return p, nil
}

// source is where a claim takes its data from.
type source struct {
	field, group, kind, name string
	// namespace is empty for the claim's own.
	namespace string
}

// sources are those that a claim names by either field. The API server makes
// them agree, but not before every kind of request reaches us.
func sources(claim *corev1.PersistentVolumeClaim) []source {
	var all []source
	if s := claim.Spec.DataSourceRef; s != nil {
		all = append(all, source{"spec.dataSourceRef", valueOf(s.APIGroup), s.Kind, s.Name, valueOf(s.Namespace)})
	}
	if s := claim.Spec.DataSource; s != nil {
		all = append(all, source{field: "spec.dataSource", group: valueOf(s.APIGroup), kind: s.Kind, name: s.Name})
	}
	return all
}

func (s source) isClaim() bool { return s.group == "" && s.kind == "PersistentVolumeClaim" }

func (s source) isSnapshot() bool {
	return s.group == "snapshot.storage.k8s.io" && s.kind == "VolumeSnapshot"
}

func valueOf(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// changed reports whether a map holds a key that it did not hold before, or
// with another value.
func changed(current, old map[string]string, key string) bool {
	value, has := current[key]
	was, had := old[key]
	return has && (!had || was != value)
}

func annotationsOfClaim(claim *corev1.PersistentVolumeClaim) map[string]string {
	return claim.Annotations
}

func labelsOfClaim(claim *corev1.PersistentVolumeClaim) map[string]string { return claim.Labels }

func has(m map[string]string, key string) bool {
	_, ok := m[key]
	return ok
}
