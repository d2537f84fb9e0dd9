package webhook

import (
	"context"
	"strconv"

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
	if r.object.Spec.CSI != nil {
		for _, key := range ephemeralAttributes {
			if is, err := strconv.ParseBool(r.object.Spec.CSI.VolumeAttributes[key]); err == nil && is {
				return []Denial{{
					Field:   "spec.csi.volumeAttributes[" + key + "]",
					Message: "for an ephemeral volume the driver makes another one, by these attributes and not by the handle",
					Mend:    "remove it, or let a claim of a StorageClass make the volume",
				}}, nil
			}
		}
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

// ephemeralAttributes are those by which the driver's node takes a volume for an
// inline one: csi/node.go and api/spec of OpenStorage.
var ephemeralAttributes = []string{"csi.storage.k8s.io/ephemeral", "ephemeral"}

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
