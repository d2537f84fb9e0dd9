package webhook

import (
	"context"

	corev1 "k8s.io/api/core/v1"

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
		return []Denial{unclaimed}, nil
	}
	provisioned, err := l.provisioned(ctx, r)
	if err != nil || provisioned {
		return nil, err
	}
	may, err := l.mayUse(ctx, claim.Namespace, handle, storage.Write)
	if err != nil || may {
		return nil, err
	}
	return []Denial{{
		Field:   field,
		Message: "the storage cluster does not let the tenant of the claim use this volume",
		Mend:    "name a volume that belongs to the claim's namespace, or let the StorageClass make one",
	}}, nil
}}

// unclaimed refuses a volume of which nobody knows whose it is.
var unclaimed = Denial{
	Field:   "spec.claimRef",
	Message: "a volume of this driver must say whose it is",
	Mend:    "set spec.claimRef.namespace and spec.claimRef.name to the claim that it is for",
}

// provisioned reports whether the volume is what the driver's own provisioner
// makes for a claim of ours that is waiting for it. Its handle comes from the
// driver, which made the volume with the claim's token.
func (l *lookup) provisioned(ctx context.Context, r *review[corev1.PersistentVolume]) (bool, error) {
	ref := r.object.Spec.ClaimRef
	if !l.provisioners[r.user.Username] || r.object.Name != "pvc-"+string(ref.UID) {
		return false, nil
	}
	claim, found, err := l.claim(ctx, ref.Namespace, ref.Name)
	if err != nil || !found || claim.UID != ref.UID || claim.Spec.VolumeName != "" {
		return false, err
	}
	return l.ownsClass(ctx, className(claim))
}
