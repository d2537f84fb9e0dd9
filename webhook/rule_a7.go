package webhook

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func keyOf(o client.Object) types.NamespacedName { return client.ObjectKeyFromObject(o) }

// ruleA7: the selector of a claim matches no volume of ours that is another
// tenant's. A claim without a selector is left to rule C4: the binder cannot
// write it into a volume of another tenant.
var ruleA7 = rule[*claimReview]{id: "BH-A7", check: func(ctx context.Context, l *lookup, r *claimReview) ([]Denial, error) {
	if r.object.Spec.Selector == nil || (r.old != nil && className(r.old) == className(r.object)) {
		return nil, nil // the selector is immutable
	}
	selector, err := metav1.LabelSelectorAsSelector(r.object.Spec.Selector)
	if err != nil {
		// The API server refuses it too, but nothing passes for being unreadable.
		return []Denial{{Field: "spec.selector", Message: "the selector cannot be read", Mend: "write a valid label selector"}}, nil
	}
	tenant, found, err := l.tenant(ctx, r.namespace)
	if err != nil || !found {
		return nil, err
	}
	var all corev1.PersistentVolumeList
	if err := l.cached.List(ctx, &all, client.MatchingLabelsSelector{Selector: selector}); err != nil {
		return nil, fmt.Errorf("look for volumes that a selector matches: %w", err)
	}
	for i := range all.Items {
		pv := &all.Items[i]
		if !l.ours(pv) || classOfVolume(pv) != className(r.object) {
			continue
		}
		own := false
		if ref := pv.Spec.ClaimRef; ref != nil && !strange(pv.Annotations, tenant) {
			if own, err = l.sameTenant(ctx, r.namespace, ref.Namespace); err != nil {
				return nil, err
			}
		}
		if !own {
			return []Denial{{
				Field:   "spec.selector",
				Message: "the selector matches a volume that is not kept for this tenant",
				Mend:    "name the volume in spec.volumeName, after the cluster admin has named the claim in its spec.claimRef",
			}}, nil
		}
	}
	return nil, nil
}}
