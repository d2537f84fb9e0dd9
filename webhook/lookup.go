package webhook

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// lookup is what injection and rules know beyond the object at hand.
type lookup struct {
	drivers tenancy.Drivers
	layout  tenancy.Layout
	// provisioners are the user names under which the driver's own
	// csi-provisioner makes volumes.
	provisioners map[string]bool
	// sidecar is the user name of Bulkhead's own sidecar, which moves references
	// to retired tokens.
	sidecar string
	// cached reads from memory. live asks the API server, only where the cache
	// has not seen an object that must be there.
	cached, live client.Reader
	judge        judge
}

// judge is the storage cluster.
type judge interface {
	// mayMount returns storage.ErrDenied if the tenant may not mount the
	// volume, or why no answer could be had.
	mayMount(ctx context.Context, tenant tenancy.Tenant, handle string) error
}

// get reads an object from the cache, and from the API server if the cache has
// not seen it (yet). found is false if there is none.
func (l *lookup) get(ctx context.Context, key types.NamespacedName, object client.Object) (found bool, err error) {
	if found, err = read(ctx, l.cached, key, object); found || err != nil {
		return found, err
	}
	return read(ctx, l.live, key, object)
}

func read(ctx context.Context, reader client.Reader, key types.NamespacedName, object client.Object) (found bool, err error) {
	switch err := reader.Get(ctx, key, object); {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look up %T %s: %w", object, key.Name, err)
	}
	return true, nil
}

// tenant finds the tenant of a namespace; found is false if there is no such
// namespace.
func (l *lookup) tenant(ctx context.Context, namespace string) (t tenancy.Tenant, found bool, err error) {
	var ns corev1.Namespace
	if found, err = l.get(ctx, types.NamespacedName{Name: namespace}, &ns); !found || err != nil {
		return t, false, err
	}
	return tenantOf(&ns), true, nil
}

// tenantNow is tenant as the API server knows it at this moment.
func (l *lookup) tenantNow(ctx context.Context, namespace string) (t tenancy.Tenant, found bool, err error) {
	var ns corev1.Namespace
	if found, err = read(ctx, l.live, types.NamespacedName{Name: namespace}, &ns); !found || err != nil {
		return t, false, err
	}
	return tenantOf(&ns), true, nil
}

func tenantOf(ns *corev1.Namespace) tenancy.Tenant {
	return tenancy.Of(ns.Name, string(ns.UID), ns.Labels)
}

// ownsClaim reports whether the claim's volume will be made by one of our
// drivers. A class that nobody knows may become ours after the claim is made,
// so it counts as ours.
func (l *lookup) ownsClaim(ctx context.Context, claim *corev1.PersistentVolumeClaim) (bool, error) {
	name := className(claim)
	if name == "" {
		return false, nil
	}
	var class storagev1.StorageClass
	found, err := l.get(ctx, types.NamespacedName{Name: name}, &class)
	if err != nil {
		return false, err
	}
	return !found || l.drivers.Owns(class.Provisioner), nil
}

// className is the class of a claim; the old annotation beats the field
// (k8s.io/component-helpers, storage/volume, GetPersistentVolumeClaimClass).
func className(claim *corev1.PersistentVolumeClaim) string {
	if name, ok := claim.Annotations[tenancy.BetaStorageClass]; ok {
		return name
	}
	if claim.Spec.StorageClassName != nil {
		return *claim.Spec.StorageClassName
	}
	return ""
}
