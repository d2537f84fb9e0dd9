package webhook

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
)

const ruleC7 = "BH-C7"

// ruleC7Class: a class does not reach the storage cluster under a name at which
// nobody looks: a name of the driver that Bulkhead was not told of, or one that
// the API server still takes for another driver's class. Nor does it take up
// claims that were made for that other class, and say what one of ours may not.
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
	if err != nil {
		return nil, err
	}
	if listed {
		return []Denial{{
			Field:   "metadata.name",
			Message: "until a moment ago this was a class of another driver, and its claims are not guarded yet",
			Mend:    "try again in a few seconds, or use another name",
		}}, nil
	}
	wrong, err := l.wrongWhileWaiting(ctx, r.object.Name)
	if err != nil || wrong == 0 {
		return nil, err
	}
	return []Denial{{
		Field:   "metadata.name",
		Message: fmt.Sprintf("%d claims wait for a class of this name and ask for what a claim of this driver may not", wrong),
		Mend:    "delete the PersistentVolumeClaims of this class that are Pending, or use another name",
	}}, nil
}}

// wrongWhileWaiting counts the claims without a volume that name the class and
// that the rules would refuse if they were made now. Only claims that were made
// while the name was another driver's can be among them.
func (l *lookup) wrongWhileWaiting(ctx context.Context, class string) (int, error) {
	var cached corev1.PersistentVolumeClaimList
	if err := l.cached.List(ctx, &cached); err != nil {
		return 0, fmt.Errorf("look for claims that wait: %w", err)
	}
	wrong := 0
	for i := range cached.Items {
		if c := &cached.Items[i]; c.Spec.VolumeName != "" || className(c) != class {
			continue
		}
		var claim corev1.PersistentVolumeClaim // all of it, which the cache does not have
		found, err := read(ctx, l.live, keyOf(&cached.Items[i]), &claim)
		if err != nil {
			return 0, err
		}
		if !found || claim.Spec.VolumeName != "" {
			continue
		}
		refused, err := l.wouldRefuse(ctx, &claim)
		if err != nil {
			return 0, err
		}
		if refused {
			wrong++
		}
	}
	return wrong, nil
}

// wouldRefuse judges a claim as if it became ours now.
func (l *lookup) wouldRefuse(ctx context.Context, claim *corev1.PersistentVolumeClaim) (bool, error) {
	facts := &claimReview{
		review: &review[corev1.PersistentVolumeClaim]{namespace: claim.Namespace, name: claim.Name, object: claim},
		ours:   true, enters: true,
	}
	for _, rule := range claims.rules {
		if l.policy.mode(rule.id) != Enforce || l.policy.exempt(rule.id, claim.Namespace, "") {
			continue
		}
		if found, err := rule.check(ctx, l, facts); err != nil || len(found) > 0 {
			return true, err
		}
	}
	return false, nil
}

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
