package sidecar

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"sync/atomic"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// referrer is a volume or snapshot content of our driver, whose annotations
// name the Secret that it is deleted or modified with.
type referrer struct {
	resource schema.GroupVersionResource
	object   metav1.Object
	// namespace is that of its claim or snapshot, empty if it has none.
	namespace string
	// pairs are the annotations that name a Secret.
	pairs []tenancy.Pair
}

var (
	volumesResource  = corev1.SchemeGroupVersion.WithResource("persistentvolumes")
	contentsResource = snapshotv1.SchemeGroupVersion.WithResource("volumesnapshotcontents")
)

func volumeReferrer(pv *corev1.PersistentVolume) referrer {
	r := referrer{resource: volumesResource, object: pv, pairs: []tenancy.Pair{
		{NameKey: tenancy.DeletionSecretName, NamespaceKey: tenancy.DeletionSecretNamespace},
		{NameKey: tenancy.ModifySecretName, NamespaceKey: tenancy.ModifySecretNamespace},
	}}
	if claim := pv.Spec.ClaimRef; claim != nil {
		r.namespace = claim.Namespace
	}
	return r
}

func contentReferrer(c *snapshotv1.VolumeSnapshotContent) referrer {
	return referrer{
		resource: contentsResource, object: c, namespace: c.Spec.VolumeSnapshotRef.Namespace,
		pairs: []tenancy.Pair{{NameKey: tenancy.SnapshotDeletionSecretName, NamespaceKey: tenancy.SnapshotDeletionSecretNamespace}},
	}
}

// origin is whose it is, if it says so, and says it of its own namespace.
func (r referrer) origin() (tenancy.Tenant, bool) {
	tenant, ok := tenancy.OriginOf(r.object.GetAnnotations())
	return tenant, ok && tenant.Namespace == r.namespace
}

// secrets are the Secrets that it names; the zero reference stands for a pair
// that is missing or, as the provisioner writes it for a class without Secrets,
// empty.
func (r referrer) secrets() map[tenancy.SecretRef]bool {
	refs := map[tenancy.SecretRef]bool{}
	annotations := r.object.GetAnnotations()
	for _, p := range r.pairs {
		refs[tenancy.SecretRef{Namespace: annotations[p.NamespaceKey], Name: annotations[p.NameKey]}] = true
	}
	return refs
}

// Indices of referrers.
const (
	bySecret    = "named-secret" // by the Secrets that it names
	byNamespace = "of-namespace" // by the namespace of its claim or snapshot
	byOrigin    = "origin-uid"   // by the uid of that namespace
)

func referrerIndexers() cache.Indexers {
	index := func(keys func(referrer) []string) cache.IndexFunc {
		return func(object any) ([]string, error) {
			r, ok := referrerOf(object)
			if !ok {
				return nil, nil
			}
			return keys(r), nil
		}
	}
	return cache.Indexers{
		bySecret: index(func(r referrer) []string {
			var names []string
			for ref := range r.secrets() {
				if ref != (tenancy.SecretRef{}) {
					names = append(names, ref.String())
				}
			}
			return names
		}),
		byNamespace: index(func(r referrer) []string {
			if r.namespace == "" {
				return nil
			}
			return []string{r.namespace}
		}),
		byOrigin: index(func(r referrer) []string {
			origin, ok := r.origin()
			if !ok {
				return nil
			}
			return []string{origin.UID}
		}),
	}
}

// referrerOf reads what the informers hold; ok is false for objects of other
// drivers, of which only the name is kept.
func referrerOf(object any) (r referrer, ok bool) {
	switch o := object.(type) {
	case *corev1.PersistentVolume:
		return volumeReferrer(o), o.Spec.CSI != nil
	case *snapshotv1.VolumeSnapshotContent:
		return contentReferrer(o), o.Spec.Driver != ""
	}
	return r, false
}

// stripVolume keeps what is read of a volume of the driver, and the name alone
// of any other: a cluster may have a hundred thousand.
func stripVolume(driver string) cache.TransformFunc {
	return func(object any) (any, error) {
		pv, ok := object.(*corev1.PersistentVolume)
		if !ok {
			return object, nil
		}
		stripped := &corev1.PersistentVolume{ObjectMeta: stripMeta(&pv.ObjectMeta)}
		// An in-tree volume is the driver's by migration.
		if pv.Spec.PortworxVolume == nil && (pv.Spec.CSI == nil || pv.Spec.CSI.Driver != driver) {
			stripped.Annotations = nil
			return stripped, nil
		}
		// With the driver, as client-go strips what is stripped once more.
		stripped.Spec.CSI = &corev1.CSIPersistentVolumeSource{Driver: driver}
		if claim := pv.Spec.ClaimRef; claim != nil {
			stripped.Spec.ClaimRef = &corev1.ObjectReference{Namespace: claim.Namespace}
		}
		return stripped, nil
	}
}

// stripContent is stripVolume for snapshot contents.
func stripContent(driver string) cache.TransformFunc {
	return func(object any) (any, error) {
		c, ok := object.(*snapshotv1.VolumeSnapshotContent)
		if !ok {
			return object, nil
		}
		stripped := &snapshotv1.VolumeSnapshotContent{ObjectMeta: stripMeta(&c.ObjectMeta)}
		if c.Spec.Driver != driver {
			stripped.Annotations = nil
			return stripped, nil
		}
		stripped.Spec.Driver = driver
		stripped.Spec.VolumeSnapshotRef.Namespace = c.Spec.VolumeSnapshotRef.Namespace
		stripped.Spec.Source.SnapshotHandle = c.Spec.Source.SnapshotHandle
		return stripped, nil
	}
}

// keptAnnotations are those that the sidecar reads of volumes and contents.
var keptAnnotations = []string{
	tenancy.DeletionSecretName, tenancy.DeletionSecretNamespace, tenancy.ModifySecretName, tenancy.ModifySecretNamespace,
	tenancy.SnapshotDeletionSecretName, tenancy.SnapshotDeletionSecretNamespace,
	tenancy.OriginNamespace, tenancy.OriginUID, tenancy.TenantLabel,
}

func stripMeta(m *metav1.ObjectMeta) metav1.ObjectMeta {
	stripped := metav1.ObjectMeta{Name: m.Name, UID: m.UID, ResourceVersion: m.ResourceVersion, CreationTimestamp: m.CreationTimestamp}
	for _, key := range keptAnnotations {
		if value, ok := m.Annotations[key]; ok {
			if stripped.Annotations == nil {
				stripped.Annotations = map[string]string{}
			}
			stripped.Annotations[key] = value
		}
	}
	return stripped
}

// references finds the volumes and snapshot contents that name a Secret, and
// changes which they name.
type references struct {
	knowledge

	volumes cache.Indexer
	// contents is nil until the cluster is known to have snapshots.
	contents atomic.Pointer[cache.Indexer]
	patch    metadata.Interface
}

// find is what an index holds under a value.
func (s *references) find(index, value string) ([]referrer, error) {
	indexers := []cache.Indexer{s.volumes}
	if contents := s.contents.Load(); contents != nil {
		indexers = append(indexers, *contents)
	}
	var found []referrer
	for _, indexer := range indexers {
		objects, err := indexer.ByIndex(index, value)
		if err != nil {
			return nil, fmt.Errorf("find what refers to %s: %w", value, err)
		}
		for _, object := range objects {
			if r, ok := referrerOf(object); ok {
				found = append(found, r)
			}
		}
	}
	return found, nil
}

// point makes a referrer name the Secret wherever it named from or none.
func (s *references) point(ctx context.Context, r referrer, from, to tenancy.SecretRef) error {
	annotations, changed := r.object.GetAnnotations(), map[string]string{}
	for _, p := range r.pairs {
		switch have := (tenancy.SecretRef{Namespace: annotations[p.NamespaceKey], Name: annotations[p.NameKey]}); have {
		case from, tenancy.SecretRef{}:
			p.Ref = to
			maps.Copy(changed, p.Values())
		}
	}
	if len(changed) == 0 {
		return nil
	}
	// The version makes the patch fail on an object that has changed.
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"resourceVersion": r.object.GetResourceVersion(), "annotations": changed,
	}})
	if err != nil {
		return fmt.Errorf("patch: %w", err)
	}
	_, err = s.patch.Resource(r.resource).Patch(ctx, r.object.GetName(), types.MergePatchType, body, metav1.PatchOptions{FieldManager: fieldOwner})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("point %s %s to Secret %s: %w", r.resource.Resource, r.object.GetName(), to, err)
	}
	return nil
}
