package sidecar

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// pageSize is how many objects one list call returns.
const pageSize = 500

// referrers are the cluster-scoped objects whose annotations name the Secret
// that they are deleted or modified with, and those pairs of annotations.
var referrers = []struct {
	resource schema.GroupVersionResource
	pairs    []tenancy.Pair
}{
	{
		schema.GroupVersionResource{Version: "v1", Resource: "persistentvolumes"},
		[]tenancy.Pair{
			{NameKey: tenancy.DeletionSecretName, NamespaceKey: tenancy.DeletionSecretNamespace},
			{NameKey: tenancy.ModifySecretName, NamespaceKey: tenancy.ModifySecretNamespace},
		},
	},
	{
		schema.GroupVersionResource{Group: "snapshot.storage.k8s.io", Version: "v1", Resource: "volumesnapshotcontents"},
		[]tenancy.Pair{{NameKey: tenancy.SnapshotDeletionSecretName, NamespaceKey: tenancy.SnapshotDeletionSecretNamespace}},
	},
}

// referenceStore finds and changes the references to a Secret. It lists
// metadata alone, and only while there are Secrets to retire or retired ones.
type referenceStore struct {
	client metadata.Interface
}

// count says how many objects refer to the Secret.
func (s referenceStore) count(ctx context.Context, ref tenancy.SecretRef) (int, error) {
	n := 0
	err := s.each(ctx, ref, func(schema.GroupVersionResource, metav1.PartialObjectMetadata, map[string]string) error {
		n++
		return nil
	})
	return n, err
}

// repoint makes every reference to one Secret a reference to another, and says
// how many objects it changed.
func (s referenceStore) repoint(ctx context.Context, from, to tenancy.SecretRef) (int, error) {
	n := 0
	err := s.each(ctx, from, func(resource schema.GroupVersionResource, object metav1.PartialObjectMetadata, names map[string]string) error {
		for key := range names {
			names[key] = to.Name
		}
		// The resource version makes the patch fail on an object that changed.
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
			"resourceVersion": object.ResourceVersion, "annotations": names,
		}})
		if err != nil {
			return fmt.Errorf("patch: %w", err)
		}
		_, err = s.client.Resource(resource).Patch(ctx, object.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldOwner})
		switch {
		case apierrors.IsNotFound(err):
			return nil
		case err != nil:
			return fmt.Errorf("point %s %s to Secret %s: %w", resource.Resource, object.Name, to, err)
		}
		n++
		return nil
	})
	return n, err
}

// each calls visit with every object that refers to the Secret, and with those
// of its annotations that hold the Secret's name.
func (s referenceStore) each(ctx context.Context, ref tenancy.SecretRef,
	visit func(schema.GroupVersionResource, metav1.PartialObjectMetadata, map[string]string) error,
) error {
	for _, kind := range referrers {
		options := metav1.ListOptions{Limit: pageSize}
		for {
			page, err := s.client.Resource(kind.resource).List(ctx, options)
			if apierrors.IsNotFound(err) {
				break // a cluster without snapshots
			}
			if err != nil {
				return fmt.Errorf("list %s: %w", kind.resource.Resource, err)
			}
			for _, object := range page.Items {
				names := map[string]string{}
				for _, p := range kind.pairs {
					if object.Annotations[p.NameKey] == ref.Name && object.Annotations[p.NamespaceKey] == ref.Namespace {
						names[p.NameKey] = ref.Name
					}
				}
				if len(names) == 0 {
					continue
				}
				if err := visit(kind.resource, object, names); err != nil {
					return err
				}
			}
			if options.Continue = page.Continue; options.Continue == "" {
				break
			}
		}
	}
	return nil
}
