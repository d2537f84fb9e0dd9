package webhook

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/storage"
)

// ruleC1: a volume that enters by its raw handle belongs to the tenant whose
// claim it names, by the word of the storage cluster. A handle may be an id or
// a name (CVE-2024-1725 is this topology).
var ruleC1 = rule[*review[corev1.PersistentVolume]]{id: "BH-C1", check: func(ctx context.Context, l *lookup, r *review[corev1.PersistentVolume]) ([]Denial, error) {
	if r.old != nil {
		return nil, nil // the handle of a volume is immutable
	}
	handle, field := l.handle(r.object)
	if field == "" {
		return nil, nil
	}
	claim := r.object.Spec.ClaimRef
	if claim == nil || claim.Namespace == "" || claim.Name == "" {
		return []Denial{{
			Field:   "spec.claimRef",
			Message: "a volume of this driver must say whose it is",
			Mend:    "set spec.claimRef.namespace and spec.claimRef.name to the claim that it is for",
		}}, nil
	}
	provisioned, err := l.provisioned(ctx, r)
	if err != nil || provisioned {
		return nil, err
	}
	denied := []Denial{{
		Field:   field,
		Message: "the storage cluster does not let the tenant of the claim use this volume",
		Mend:    "name a volume that belongs to the claim's namespace, or let the StorageClass make one",
	}}
	// Not from the cache: right after a namespace was made again that may still
	// know the old one.
	tenant, found, err := l.tenantNow(ctx, claim.Namespace)
	if err != nil {
		return nil, err
	}
	if !found {
		return denied, nil
	}
	if err := l.judge.mayMount(ctx, tenant, handle); errors.Is(err, storage.ErrDenied) {
		return denied, nil
	} else if err != nil {
		return nil, err
	}
	return nil, nil
}}

// provisioned reports whether the volume is what the driver's own provisioner
// makes for a claim of ours that is waiting for it. Its handle comes from the
// driver, which made the volume with the claim's token.
func (l *lookup) provisioned(ctx context.Context, r *review[corev1.PersistentVolume]) (bool, error) {
	ref := r.object.Spec.ClaimRef
	if !l.provisioners[r.user.Username] || r.object.Name != "pvc-"+string(ref.UID) {
		return false, nil
	}
	var claim corev1.PersistentVolumeClaim
	found, err := l.get(ctx, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}, &claim)
	if err != nil || !found || claim.UID != ref.UID || claim.Spec.VolumeName != "" {
		return false, err
	}
	return l.ownsClaim(ctx, &claim)
}
