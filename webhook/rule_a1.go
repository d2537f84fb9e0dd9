package webhook

import "context"

// ruleA1: a claim does not take its data from another tenant's namespace,
// whatever a ReferenceGrant says.
var ruleA1 = rule[*claimReview]{id: "BH-A1", check: func(ctx context.Context, l *lookup, r *claimReview) ([]Denial, error) {
	source := r.object.Spec.DataSourceRef
	// The data source itself is immutable, so it is judged once.
	if !r.enters || source == nil || source.Namespace == nil || *source.Namespace == "" || *source.Namespace == r.namespace {
		return nil, nil
	}
	own, _, err := l.tenant(ctx, r.namespace)
	if err != nil {
		return nil, err
	}
	other, found, err := l.tenant(ctx, *source.Namespace)
	if err != nil {
		return nil, err
	}
	if found && own.Same(other) {
		return nil, nil
	}
	return []Denial{{
		Field:   "spec.dataSourceRef.namespace",
		Message: "a claim cannot take its data from a namespace of another tenant",
		Mend:    "leave the field out and name a source in the namespace of the claim",
	}}, nil
}}
