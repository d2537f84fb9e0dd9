package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
)

// fieldManager is the name under which this package applies objects.
const fieldManager = "bulkhead-test"

// yamlBuffer is how far the decoder looks ahead to tell YAML from JSON, in bytes.
const yamlBuffer = 4096

// Apply applies the documents of a YAML stream as an admin, in their order, by
// server-side apply. Objects that want a namespace and name none go to
// "default". The first failure ends it; the error names the object.
func (c *Compute) Apply(ctx context.Context, manifests []byte) error {
	objects, err := parseManifests(manifests)
	if err != nil {
		return fmt.Errorf("apply to %s: %w", c.Name, err)
	}
	return c.applyObjects(ctx, objects)
}

func (c *Compute) applyObjects(ctx context.Context, objects []*unstructured.Unstructured) error {
	return c.each(objects, func(client dynamic.ResourceInterface, object *unstructured.Unstructured) error {
		_, err := client.Apply(ctx, object.GetName(), object, metav1.ApplyOptions{FieldManager: fieldManager, Force: true})
		if err != nil {
			return fmt.Errorf("apply %s %s to %s: %w", object.GetKind(), object.GetName(), c.Name, err)
		}
		return nil
	})
}

// deleteObjects deletes objects, in their order, as far as they are there.
func (c *Compute) deleteObjects(ctx context.Context, objects []*unstructured.Unstructured) error {
	return c.each(objects, func(client dynamic.ResourceInterface, object *unstructured.Unstructured) error {
		if err := client.Delete(ctx, object.GetName(), metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete %s %s in %s: %w", object.GetKind(), object.GetName(), c.Name, err)
		}
		return nil
	})
}

// each calls do with each object and the client for objects of its kind in its
// namespace, up to the first error.
func (c *Compute) each(objects []*unstructured.Unstructured, do func(dynamic.ResourceInterface, *unstructured.Unstructured) error) error {
	client, err := dynamic.NewForConfig(c.config)
	if err != nil {
		return fmt.Errorf("client of %s: %w", c.Name, err)
	}
	// Read anew each time, as what was applied before may have brought kinds.
	groups, err := restmapper.GetAPIGroupResources(c.Client.Discovery())
	if err != nil {
		return fmt.Errorf("read the kinds of %s: %w", c.Name, err)
	}
	mapper := restmapper.NewDiscoveryRESTMapper(groups)
	for _, object := range objects {
		kind := object.GroupVersionKind()
		mapping, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
		if err != nil {
			return fmt.Errorf("%s %s in %s: %w", object.GetKind(), object.GetName(), c.Name, err)
		}
		var resource dynamic.ResourceInterface = client.Resource(mapping.Resource)
		if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
			namespace := object.GetNamespace()
			if namespace == "" {
				namespace = metav1.NamespaceDefault
			}
			resource = client.Resource(mapping.Resource).Namespace(namespace)
		}
		if err := do(resource, object); err != nil {
			return err
		}
	}
	return nil
}

// parseManifests reads a YAML stream, without its empty documents.
func parseManifests(manifests []byte) ([]*unstructured.Unstructured, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifests), yamlBuffer)
	var objects []*unstructured.Unstructured
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read document %d: %w", len(objects)+1, err)
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}
