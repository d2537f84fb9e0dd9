package sidecar

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

var everything = labels.Everything()

// selection says which namespaces get a token.
type selection struct {
	// selector matches the labels of namespaces.
	selector labels.Selector
	// exempt are names of namespaces that get none.
	exempt []string
	// asked reports whether a namespace has a claim of ours; nil if every
	// namespace gets a token, whether it asks or not.
	asked func(namespace string) bool
}

func (s selection) takes(ns *corev1.Namespace) bool {
	return !slices.Contains(s.exempt, ns.Name) && s.selector.Matches(labels.Set(ns.Labels)) &&
		(s.asked == nil || s.asked(ns.Name))
}

// askingClaims watches for claims that the webhook has pointed to the token of
// their namespace, and reports whether a namespace has one.
func askingClaims(all *caches, client metadata.Interface, layout tenancy.Layout, asks func(namespace string)) func(string) bool {
	const byNamespace = "asking"
	claims := metadatainformer.NewFilteredMetadataInformer(client, corev1.SchemeGroupVersion.WithResource("persistentvolumeclaims"),
		metav1.NamespaceAll, 0, cache.Indexers{byNamespace: func(object any) ([]string, error) {
			claim, ok := object.(*metav1.PartialObjectMetadata)
			if !ok || claim.Annotations[tenancy.AuthSecretName] != layout.TokenSecret(claim.Namespace).Name {
				return nil, nil
			}
			return []string{claim.Namespace}, nil
		}}, nil).Informer()
	all.add(claims, stripClaim, func(object any) {
		if claim, ok := object.(*metav1.PartialObjectMetadata); ok {
			asks(claim.Namespace)
		}
	})
	return func(namespace string) bool {
		found, err := claims.GetIndexer().IndexKeys(byNamespace, namespace)
		return err == nil && len(found) > 0
	}
}

// stripClaim keeps what is read of a claim.
func stripClaim(object any) (any, error) {
	claim, ok := object.(*metav1.PartialObjectMetadata)
	if !ok {
		return object, nil
	}
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID, ResourceVersion: claim.ResourceVersion,
		Annotations: map[string]string{tenancy.AuthSecretName: claim.Annotations[tenancy.AuthSecretName]},
	}}, nil
}
