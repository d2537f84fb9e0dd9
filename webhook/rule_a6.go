package webhook

import "context"

// ruleA6: a claim names a volume of ours only if that is kept for it. This holds
// for claims of any class. The binder, which picks what fits by size and class,
// is not sent here: it writes the claim into the volume first, which rule C4
// judges.
var ruleA6 = rule[*claimReview]{id: "BH-A6", check: func(ctx context.Context, l *lookup, r *claimReview) ([]Denial, error) {
	name := r.object.Spec.VolumeName
	if name == "" || (r.old != nil && r.old.Spec.VolumeName == name) {
		return nil, nil
	}
	tenant, found, err := l.tenant(ctx, r.namespace)
	if err != nil || !found {
		return nil, err
	}
	pv, found, err := l.volume(ctx, name)
	if err != nil || !found || l.keptFor(pv, tenant, r.object.Name, r.object.UID) {
		return nil, err
	}
	// The binder names the claim in the volume first, perhaps a moment ago.
	if found, err = read(ctx, l.live, keyOf(pv), pv); err != nil || !found || l.keptFor(pv, tenant, r.object.Name, r.object.UID) {
		return nil, err
	}
	return []Denial{{
		Field:   "spec.volumeName",
		Message: "this volume is not kept for this claim",
		Mend:    "leave the field out, or ask the cluster admin to name the claim in the volume's spec.claimRef",
	}}, nil
}}
