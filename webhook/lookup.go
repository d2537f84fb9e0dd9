package webhook

import (
	"context"
	"errors"
	"fmt"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	segments "k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/storage"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// lookup is what injection and rules know beyond the object at hand.
type lookup struct {
	drivers tenancy.Drivers
	layout  tenancy.Layout
	policy  *policy
	// provisioners are the user names under which the driver's own
	// csi-provisioner makes volumes.
	provisioners map[string]bool
	// sidecar is the user name of Bulkhead's own sidecar, which moves references
	// to retired tokens.
	sidecar string
	// cached reads from memory. live asks the API server, only where the cache
	// has not seen an object that must be there.
	cached, live client.Reader
	// kinds says in which version a kind is served.
	kinds meta.RESTMapper
	judge judge
	gatekeeper
	// listed reports whether the API server takes the class of that name for
	// another driver's without asking us.
	listed func(ctx context.Context, class string) (bool, error)
}

// judge is the storage cluster.
type judge interface {
	// may returns storage.ErrDenied if the tenant does not have that access to
	// the volume or snapshot, or why no answer could be had.
	may(ctx context.Context, tenant tenancy.Tenant, handle string, access storage.Access) error
}

// gatekeeper is the API server's authorization.
type gatekeeper interface {
	// mayAssign reports whether the user may put namespaces into a labelled
	// tenant, and take them out.
	mayAssign(ctx context.Context, user authenticationv1.UserInfo, tenant string) (bool, error)
}

// get reads an object from the cache, and from the API server if the cache has
// not seen it (yet). found is false if there is none.
func (l *lookup) get(ctx context.Context, key types.NamespacedName, object client.Object) (found bool, err error) {
	if found, err = read(ctx, l.cached, key, object); found || err != nil {
		return found, err
	}
	return read(ctx, l.live, key, object)
}

// read takes a kind that is not served, or not cached, as one of which there
// are no objects.
func read(ctx context.Context, reader client.Reader, key types.NamespacedName, object client.Object) (found bool, err error) {
	if key.Name == "" || len(segments.IsPathSegmentName(key.Name)) > 0 || len(segments.IsPathSegmentName(key.Namespace)) > 0 {
		return false, nil // nothing can have that name, whatever a tenant wrote
	}
	err = reader.Get(ctx, key, object)
	switch {
	case apierrors.IsNotFound(err), meta.IsNoMatchError(err), notCached(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look up %T %s: %w", object, key.Name, err)
	}
	return true, nil
}

// notCached reports whether the cache said that it does not hold the kind (yet).
func notCached(err error) bool {
	no := (*cache.ErrResourceNotCached)(nil)
	return errors.As(err, &no)
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

// tenantNow is tenant as the API server knows it at this moment: right after a
// namespace was made again the cache may still know the old one.
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

// sameTenant reports whether two namespaces belong to one tenant. A namespace
// that is not there belongs to nobody.
func (l *lookup) sameTenant(ctx context.Context, a, b string) (bool, error) {
	if a == b {
		return true, nil
	}
	one, foundOne, err := l.tenant(ctx, a)
	if err != nil {
		return false, err
	}
	other, foundOther, err := l.tenant(ctx, b)
	return foundOne && foundOther && one.Same(other), err
}

// mayUse asks the storage cluster whether the tenant of a namespace has that
// access to a volume or snapshot. A namespace that is not there has none.
func (l *lookup) mayUse(ctx context.Context, namespace, handle string, access storage.Access) (bool, error) {
	tenant, found, err := l.tenantNow(ctx, namespace)
	if err != nil || !found {
		return false, err
	}
	if err := l.judge.may(ctx, tenant, handle, access); errors.Is(err, storage.ErrDenied) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	return true, nil
}

// class finds a StorageClass.
func (l *lookup) class(ctx context.Context, name string) (*storagev1.StorageClass, bool, error) {
	var class storagev1.StorageClass
	found, err := l.get(ctx, types.NamespacedName{Name: name}, &class)
	return &class, found, err
}

// ownsClass reports whether volumes of the class are made by one of our
// drivers. A class that nobody knows may become ours later, so it counts as
// ours; no class is nobody's.
func (l *lookup) ownsClass(ctx context.Context, name string) (bool, error) {
	if name == "" {
		return false, nil
	}
	class, found, err := l.class(ctx, name)
	if err != nil {
		return false, err
	}
	return !found || l.drivers.Owns(class.Provisioner), nil
}

// volume finds a PV.
func (l *lookup) volume(ctx context.Context, name string) (*corev1.PersistentVolume, bool, error) {
	var pv corev1.PersistentVolume
	found, err := l.get(ctx, types.NamespacedName{Name: name}, &pv)
	return &pv, found, err
}

// claim finds a PersistentVolumeClaim.
func (l *lookup) claim(ctx context.Context, namespace, name string) (*corev1.PersistentVolumeClaim, bool, error) {
	var claim corev1.PersistentVolumeClaim
	found, err := l.get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &claim)
	return &claim, found, err
}

// snapshot finds a VolumeSnapshot.
func (l *lookup) snapshot(ctx context.Context, namespace, name string) (*snapshotv1.VolumeSnapshot, bool, error) {
	var snapshot snapshotv1.VolumeSnapshot
	found, err := l.get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &snapshot)
	return &snapshot, found, err
}

// content finds a VolumeSnapshotContent.
func (l *lookup) content(ctx context.Context, name string) (*snapshotv1.VolumeSnapshotContent, bool, error) {
	var content snapshotv1.VolumeSnapshotContent
	found, err := l.get(ctx, types.NamespacedName{Name: name}, &content)
	return &content, found, err
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

// classOfVolume is the class of a PV, named the same two ways.
func classOfVolume(pv *corev1.PersistentVolume) string {
	if name, ok := pv.Annotations[tenancy.BetaStorageClass]; ok {
		return name
	}
	return pv.Spec.StorageClassName
}
