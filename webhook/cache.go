package webhook

import (
	"context"
	"fmt"
	"maps"
	"time"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// cachedKinds are those that every cluster serves; the webhook is ready once it
// holds them.
func cachedKinds() []client.Object {
	return []client.Object{
		&corev1.Namespace{}, &storagev1.StorageClass{}, &corev1.PersistentVolumeClaim{}, &corev1.PersistentVolume{},
	}
}

// lateKinds are those that a cluster may come to serve at any time. Until then
// there are none.
func lateKinds() []client.Object {
	return []client.Object{
		&snapshotv1.VolumeSnapshot{}, &snapshotv1.VolumeSnapshotContent{}, &storagev1.VolumeAttributesClass{},
	}
}

// lateInterval is how often the webhook looks whether a late kind is served.
// Until it is cached it is read live, so nothing depends on it but speed.
const lateInterval = 30 * time.Second

// cacheLate caches each late kind as soon as it is served.
func cacheLate(ctx context.Context, c cache.Cache, scheme *runtime.Scheme, mapper meta.RESTMapper) error {
	waiting := lateKinds()
	for {
		var still []client.Object
		for _, object := range waiting {
			served, err := startCaching(ctx, c, scheme, mapper, object)
			if err != nil {
				klog.FromContext(ctx).Error(err, "Reading a kind of objects without a cache")
			}
			if !served {
				still = append(still, object)
			}
		}
		if waiting = still; len(waiting) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(lateInterval):
		}
	}
}

func startCaching(ctx context.Context, c cache.Cache, scheme *runtime.Scheme, mapper meta.RESTMapper, object client.Object) (served bool, err error) {
	if served, err = isServed(object, scheme, mapper); err != nil || !served {
		return false, err
	}
	if _, err := c.GetInformer(ctx, object, cache.BlockUntilSynced(false)); err != nil {
		return false, fmt.Errorf("cache %T: %w", object, err)
	}
	return true, nil
}

func isServed(object client.Object, scheme *runtime.Scheme, mapper meta.RESTMapper) (bool, error) {
	kind, err := apiutil.GVKForObject(object, scheme)
	if err != nil {
		return false, fmt.Errorf("kind of %T: %w", object, err)
	}
	switch _, err := mapper.RESTMapping(kind.GroupKind(), kind.Version); {
	case meta.IsNoMatchError(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look whether %s is served: %w", kind, err)
	}
	return true, nil
}

// strip keeps of an object what the rules read: there may be many.
func (l *lookup) strip(object any) (any, error) {
	switch o := object.(type) {
	case *corev1.Namespace:
		return &corev1.Namespace{ObjectMeta: identity(o, tenantLabel(o.Labels))}, nil
	case *storagev1.StorageClass:
		return &storagev1.StorageClass{
			ObjectMeta: identity(o, nil, TunableKeys), Provisioner: o.Provisioner,
		}, nil
	case *storagev1.VolumeAttributesClass:
		return &storagev1.VolumeAttributesClass{ObjectMeta: identity(o, nil), DriverName: o.DriverName, Parameters: o.Parameters}, nil
	case *corev1.PersistentVolumeClaim:
		return foldClaim(o), nil
	case *corev1.PersistentVolume:
		return foldVolume(o, l.ours(o)), nil
	case *snapshotv1.VolumeSnapshot:
		return &snapshotv1.VolumeSnapshot{
			ObjectMeta: identity(o, nil),
			Spec:       snapshotv1.VolumeSnapshotSpec{Source: o.Spec.Source},
			Status:     boundContent(o.Status),
		}, nil
	case *snapshotv1.VolumeSnapshotContent:
		return &snapshotv1.VolumeSnapshotContent{
			ObjectMeta: identity(o, nil, originKeys()...),
			Spec:       snapshotv1.VolumeSnapshotContentSpec{Driver: o.Spec.Driver, VolumeSnapshotRef: o.Spec.VolumeSnapshotRef},
		}, nil
	}
	return object, nil
}

// identity is the metadata by which an object is found, those labels, and the
// named annotations.
func identity(o client.Object, labels map[string]string, annotations ...string) metav1.ObjectMeta {
	kept := metav1.ObjectMeta{
		Namespace: o.GetNamespace(), Name: o.GetName(), UID: o.GetUID(), ResourceVersion: o.GetResourceVersion(),
		Labels: maps.Clone(labels),
	}
	for _, key := range annotations {
		if value, ok := o.GetAnnotations()[key]; ok {
			metav1.SetMetaDataAnnotation(&kept, key, value)
		}
	}
	return kept
}

func tenantLabel(labels map[string]string) map[string]string {
	if value, ok := labels[tenancy.TenantLabel]; ok {
		return map[string]string{tenancy.TenantLabel: value}
	}
	return nil
}

func boundContent(status *snapshotv1.VolumeSnapshotStatus) *snapshotv1.VolumeSnapshotStatus {
	if status == nil {
		return nil
	}
	return &snapshotv1.VolumeSnapshotStatus{BoundVolumeSnapshotContentName: status.BoundVolumeSnapshotContentName}
}
