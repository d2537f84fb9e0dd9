package webhook

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// ruleC3: every call for a volume is made with the token of its claim's
// namespace. Whoever makes the call would use any Secret that the volume names.
var ruleC3 = rule[*review[corev1.PersistentVolume]]{id: "BH-C3", check: func(ctx context.Context, l *lookup, r *review[corev1.PersistentVolume]) ([]Denial, error) {
	if _, field := l.handle(r.object); field == "" || r.object.Spec.ClaimRef == nil {
		return nil, nil // rules C1 and C4 want a claim
	}
	namespace := r.object.Spec.ClaimRef.Namespace
	pairs := l.layout.VolumeAnnotations(namespace)
	if r.old != nil {
		if r.user.Username == l.sidecar {
			return nil, nil
		}
		return l.changedReferences(ctx, r.object.Annotations, r.old.Annotations, pairs, namespace)
	}
	provisioned, err := l.provisioned(ctx, r)
	if err != nil {
		return nil, err
	}
	if provisioned {
		// A class from before the install may keep the tokens where the tenant
		// itself does: that reaches no further than the tenant.
		for i, pair := range pairs {
			if r.object.Annotations[pair.NamespaceKey] == namespace {
				pairs[i].Ref = tenancy.SecretRef{Namespace: namespace, Name: r.object.Annotations[pair.NameKey]}
			}
		}
	}
	denials := foreignReferences(r.object.Annotations, pairs)
	if r.object.Spec.CSI == nil {
		return denials, nil
	}
	want := secretReference(l.layout.TokenSecret(namespace))
	for _, ref := range secretReferences(r.object.Spec.CSI) {
		if ref.current != nil && (*ref.current == *want || (provisioned && ref.current.Namespace == namespace)) {
			continue
		}
		denials = append(denials, Denial{
			Field:   "spec.csi." + ref.name,
			Message: "a volume of this driver is reached with the token of its claim's namespace and no other Secret",
			Mend:    "leave it out, it is filled in",
		})
	}
	return denials, nil
}}
