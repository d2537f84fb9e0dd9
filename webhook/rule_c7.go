package webhook

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
)

const ruleC7 = "BH-C7"

// ruleC7Class: a class does not reach the storage cluster under a name at which
// nobody looks: a name of the driver that Bulkhead was not told of, or one that
// the API server still takes for another driver's class.
var ruleC7Class = rule[*review[storagev1.StorageClass]]{id: ruleC7, check: func(ctx context.Context, l *lookup, r *review[storagev1.StorageClass]) ([]Denial, error) {
	name := r.object.Provisioner
	if r.old != nil {
		return nil, nil // the provisioner is immutable
	}
	if !l.drivers.Owns(name) {
		return l.guardedName("provisioner", name), nil
	}
	// Classes are few and rarely made, so this may ask the API server.
	listed, err := l.listed(ctx, r.object.Name)
	if err != nil || !listed {
		return nil, err
	}
	return []Denial{{
		Field:   "metadata.name",
		Message: "until a moment ago this was a class of another driver, and its claims are not guarded yet",
		Mend:    "try again in a few seconds, or use another name",
	}}, nil
}}

// ruleC7Volume: nor does a raw handle.
var ruleC7Volume = rule[*review[corev1.PersistentVolume]]{id: ruleC7, check: func(_ context.Context, l *lookup, r *review[corev1.PersistentVolume]) ([]Denial, error) {
	if r.old != nil || r.object.Spec.CSI == nil {
		return nil, nil // the source of a volume is immutable
	}
	return l.guardedName("spec.csi.driver", r.object.Spec.CSI.Driver), nil
}}

// ruleC7Content: nor does that of a snapshot.
var ruleC7Content = rule[*contentReview]{id: ruleC7, check: func(_ context.Context, l *lookup, r *contentReview) ([]Denial, error) {
	if r.driver == r.formerDriver {
		return nil, nil
	}
	return l.guardedName("spec.driver", r.driver), nil
}}

// guardedName refuses the name of a driver in that field if it is one of ours
// that Bulkhead was not told of.
func (l *lookup) guardedName(field, name string) []Denial {
	if !l.drivers.Unguarded(name) {
		return nil
	}
	return []Denial{{
		Field:   field,
		Message: "this is a name of the storage driver under which it is not guarded",
		Mend:    "use a name that is, or ask the cluster admin to add this one to Bulkhead's drivers",
	}}
}
