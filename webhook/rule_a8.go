package webhook

import (
	"context"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// ruleA8: a claim names its class in one way, or the same class in both. The
// old annotation beats the field, so a claim that says two things hides what it
// is. All other rules take the class whichever way it comes.
var ruleA8 = rule[*claimReview]{id: "BH-A8", check: func(ctx context.Context, l *lookup, r *claimReview) ([]Denial, error) {
	annotated, both := r.object.Annotations[tenancy.BetaStorageClass]
	field := r.object.Spec.StorageClassName
	if !both || field == nil || *field == annotated ||
		(r.old != nil && !changed(r.object.Annotations, r.old.Annotations, tenancy.BetaStorageClass) && valueOf(r.old.Spec.StorageClassName) == *field) {
		return nil, nil
	}
	ours := r.ours
	if !ours {
		var err error
		if ours, err = l.ownsClass(ctx, *field); err != nil {
			return nil, err
		}
	}
	if !ours {
		return nil, nil
	}
	return []Denial{{
		Field:   "metadata.annotations[" + tenancy.BetaStorageClass + "]",
		Message: "the annotation and spec.storageClassName name two classes",
		Mend:    "remove the annotation and name the class in spec.storageClassName",
	}}, nil
}}
