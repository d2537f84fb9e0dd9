package webhook

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/storage"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// ruleC3: every call for a volume is made with the token of its claim's
// namespace. Whoever makes the call would use any Secret that the volume names.
var ruleC3 = rule[*review[corev1.PersistentVolume]]{id: "BH-C3", check: func(ctx context.Context, l *lookup, r *review[corev1.PersistentVolume]) ([]Denial, error) {
	if _, field := l.handle(r.object); field == "" {
		return nil, nil
	}
	namespace := "" // rules C1 and C4 want a claim; without one no Secret is right
	if r.object.Spec.ClaimRef != nil {
		namespace = r.object.Spec.ClaimRef.Namespace
	}
	pairs := l.layout.VolumeAnnotations(namespace)
	if r.old != nil {
		if r.user.Username == l.sidecar {
			return nil, nil
		}
		if r.object.Spec.PortworxVolume != nil {
			// From before the install. Who translates it takes its Secret from these.
			pairs = append(pairs, l.layout.ClaimAnnotations(namespace)...)
		}
		denials, err := l.changedReferences(ctx, r.object.Annotations, r.old.Annotations, pairs, namespace, func(ctx context.Context) (bool, error) {
			handle, _ := l.handle(r.object)
			return l.mayUse(ctx, namespace, handle, storage.Write)
		})
		return append(denials, l.changedSource(r.object.Spec.CSI, r.old.Spec.CSI, namespace)...), err
	}
	if namespace == "" {
		return anySecret(r.object.Spec.CSI), nil
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
		denials = append(denials, foreignSecret("spec.csi."+ref.name))
	}
	return denials, nil
}}

// anySecret refuses every secret reference.
func anySecret(source *corev1.CSIPersistentVolumeSource) []Denial {
	if source == nil {
		return nil
	}
	var denials []Denial
	for _, ref := range secretReferences(source) {
		if ref.current != nil {
			denials = append(denials, foreignSecret("spec.csi."+ref.name))
		}
	}
	return denials
}

// changedSource judges the secret references that an update sets. The API server
// lets one that was missing be added.
func (l *lookup) changedSource(is, was *corev1.CSIPersistentVolumeSource, namespace string) []Denial {
	if is == nil || was == nil {
		return nil // the API server lets no volume become another
	}
	want := secretReference(l.layout.TokenSecret(namespace))
	old := secretReferences(was)
	var denials []Denial
	for i, ref := range secretReferences(is) {
		if ref.current == nil || *ref.current == *want || (old[i].current != nil && *ref.current == *old[i].current) {
			continue
		}
		denials = append(denials, foreignSecret("spec.csi."+ref.name))
	}
	return denials
}

func foreignSecret(field string) Denial {
	return Denial{
		Field:   field,
		Message: "a volume of this driver is reached with the token of its claim's namespace and no other Secret",
		Mend:    "leave it out, it is filled in",
	}
}
