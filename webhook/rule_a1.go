package webhook

import "context"

// ruleA1: a claim does not take its data from another tenant's namespace,
// whatever a ReferenceGrant says.
var ruleA1 = rule[*claimReview]{id: "BH-A1", check: func(ctx context.Context, l *lookup, r *claimReview) ([]Denial, error) {
	if !r.enters {
		return nil, nil // the data source itself is immutable, so it is judged once
	}
	for _, s := range sources(r.object) {
		if s.namespace == "" {
			continue
		}
		same, err := l.sameTenant(ctx, r.namespace, s.namespace)
		if err != nil {
			return nil, err
		}
		if !same {
			return []Denial{foreignSource.at(s.field + ".namespace")}, nil
		}
	}
	return nil, nil
}}

var foreignSource = Denial{
	Message: "a claim cannot take its data from a namespace of another tenant",
	Mend:    "leave the field out and name a source in the namespace of the claim",
}
