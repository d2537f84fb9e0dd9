package webhook

import (
	"context"
	"reflect"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/storage"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// ruleC4: a volume stays with the tenant that it is for. Its secret references
// are that tenant's and immutable, so whoever bound it would reach the storage
// with that tenant's token.
var ruleC4 = rule[*review[corev1.PersistentVolume]]{id: "BH-C4", check: func(ctx context.Context, l *lookup, r *review[corev1.PersistentVolume]) ([]Denial, error) {
	if r.old == nil || !l.ours(r.object) {
		return nil, nil
	}
	was, is := r.old.Spec.ClaimRef, r.object.Spec.ClaimRef
	if is == nil || is.Namespace == "" || is.Name == "" {
		if reflect.DeepEqual(was, is) {
			return nil, nil
		}
		return []Denial{unclaimed}, nil
	}
	var same bool
	var err error
	switch {
	case was == nil || was.Namespace == "":
		// From before the install: the storage cluster knows whose it is.
		handle, _ := l.handle(r.object)
		same, err = l.mayUse(ctx, is.Namespace, handle, storage.Write)
	case is.Namespace != was.Namespace || is.Name != was.Name || is.UID != was.UID:
		// The binder's filling in of the uid is one of these: the volume may have
		// been left over by another namespace of the name.
		same, err = l.staysWith(ctx, r.old, is.Namespace)
	default:
		same = true
	}
	if err != nil || same {
		return nil, err
	}
	return []Denial{{
		Field:   "spec.claimRef",
		Message: "a volume of this driver stays with the tenant that it is for",
		Mend:    "leave spec.claimRef as it is; the tenant can copy its data into a claim of another",
	}}, nil
}}

// staysWith reports whether the tenant of the namespace is the one that the
// volume is for: by its origin, or for a volume without one by the namespace of
// its claim.
func (l *lookup) staysWith(ctx context.Context, pv *corev1.PersistentVolume, namespace string) (bool, error) {
	tenant, found, err := l.tenantNow(ctx, namespace)
	if err != nil || !found {
		// A namespace that is gone is nobody's, and the volume was its already.
		return !found && namespace == pv.Spec.ClaimRef.Namespace, err
	}
	if origin, ok := tenancy.OriginOf(pv.Annotations); ok {
		return origin.Same(tenant), nil
	}
	if namespace != pv.Spec.ClaimRef.Namespace {
		before, found, err := l.tenantNow(ctx, pv.Spec.ClaimRef.Namespace)
		return found && before.Same(tenant), err
	}
	// The namespace may have been made again since.
	handle, _ := l.handle(pv)
	return l.mayUse(ctx, namespace, handle, storage.Write)
}
