package installation

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/pager"

	"github.com/bulkhead-dev/bulkhead/sidecar"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// toldCluster is what the sidecar says, empty if it says nothing, or may not be read.
func toldCluster(ctx context.Context, client kubernetes.Interface, namespace string) (string, error) {
	configMap, err := client.CoreV1().ConfigMaps(namespace).Get(ctx, sidecar.StatusName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the sidecar's status: %w", err)
	}
	return configMap.Data[sidecar.StatusCluster], nil
}

// Cluster is the name of the compute cluster, which only the issuer gives: that
// in the subject of its tokens. It is empty if there is no token yet. A sidecar
// that does not say it is older than this; then the metadata of token Secrets does,
// but where tenants can write them.
func (i *Installation) Cluster(ctx context.Context, client metadata.Interface) (name string, err error) {
	if i.cluster != "" || i.Layout.Placement == tenancy.InTenant {
		return i.cluster, nil
	}
	err = i.EachToken(ctx, client, sidecar.LiveTokens, func(secret *metav1.PartialObjectMetadata) {
		if token, ok := sidecar.TokenOf(secret); ok && name == "" {
			name = token.Cluster
		}
	})
	return name, err
}

// EachToken calls each for the metadata of every token Secret of the kind that the
// selector of package sidecar says. The tokens themselves are not read.
func (i *Installation) EachToken(ctx context.Context, client metadata.Interface, selector string, each func(*metav1.PartialObjectMetadata)) error {
	namespace := i.Layout.TokenNamespace
	if i.Layout.Placement == tenancy.InTenant && selector == sidecar.LiveTokens {
		namespace = metav1.NamespaceAll
	}
	lists := pager.New(func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		return client.Resource(corev1.SchemeGroupVersion.WithResource("secrets")).Namespace(namespace).List(ctx, options)
	})
	err := lists.EachListItem(ctx, metav1.ListOptions{LabelSelector: selector}, func(object runtime.Object) error {
		secret, ok := object.(*metav1.PartialObjectMetadata)
		if !ok {
			return fmt.Errorf("a %T in place of metadata", object)
		}
		ref := tenancy.SecretRef{Namespace: secret.Namespace, Name: secret.Name}
		// In placement tenant a Secret of a tenant's own making could say anything.
		if _, is := i.Layout.NamespaceOf(ref); is || selector != sidecar.LiveTokens {
			each(secret)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read what token Secrets say of their tokens: %w", err)
	}
	return nil
}
