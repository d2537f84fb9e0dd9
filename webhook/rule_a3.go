package webhook

import "context"

// ruleA3: a source in the claim's own tenant does not stand for another
// tenant's volume, as far as is known.
var ruleA3 = rule[*claimReview]{id: "BH-A3", check: func(ctx context.Context, l *lookup, r *claimReview) ([]Denial, error) {
	if !r.enters {
		return nil, nil
	}
	for _, s := range sources(r.object) {
		namespace := s.namespace
		if namespace == "" {
			namespace = r.namespace
		} else if same, err := l.sameTenant(ctx, r.namespace, namespace); err != nil || !same {
			return nil, err // for rule A1
		}
		tenant, found, err := l.tenant(ctx, namespace)
		if err != nil || !found {
			return nil, err
		}
		foreign := false
		switch {
		case s.isClaim():
			foreign, err = l.claimHoldsForeign(ctx, tenant, s.name)
		case s.isSnapshot():
			foreign, err = l.snapshotHoldsForeign(ctx, tenant, s.name)
		}
		if err != nil {
			return nil, err
		}
		if foreign {
			return []Denial{{
				Field:   s.field + ".name",
				Message: "this source does not hold data of the claim's tenant",
				Mend:    "name a source that was made in the tenant itself",
			}}, nil
		}
	}
	return nil, nil
}}
