package audit

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/plugin/installation"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

var secrets = corev1.SchemeGroupVersion.WithResource("secrets")

const installationName = installation.ConfigMapName

// tokens judges the place where the tokens lie.
func (s *scan) tokens(ctx context.Context) error {
	layout := s.cfg.Installation.Layout
	namespace := Object{APIVersion: "v1", Kind: "Namespace", Name: layout.TokenNamespace}
	if layout.Placement == tenancy.InTenant {
		s.found(Finding{
			Rule: checkReadOwn, Severity: Low,
			Object:  Object{APIVersion: "v1", Kind: "ConfigMap", Namespace: s.cfg.Installation.Namespace, Name: installationName},
			Message: "tokens lie in the namespaces of tenants: a tenant can read its own, and open its volumes to others with it",
			Mend:    "tokens.placement: central, unless Stork has to find them",
		})
	}
	switch _, err := s.api.CoreV1().Namespaces().Get(ctx, layout.TokenNamespace, metav1.GetOptions{}); {
	case apierrors.IsNotFound(err):
		s.found(Finding{Rule: checkLocked, Severity: High, Object: namespace, Message: "there is no token namespace", Mend: "helm upgrade the bulkhead release"})
		return nil
	case err != nil:
		return fmt.Errorf("look at the token namespace: %w", err)
	}
	pods, err := s.api.CoreV1().Pods(layout.TokenNamespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("look for Pods beside the tokens: %w", err)
	}
	for _, pod := range pods.Items {
		s.found(Finding{
			Rule: checkLocked, Severity: High,
			Object:  Object{APIVersion: "v1", Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name},
			Message: "a Pod here can mount every token", Mend: "delete it, and find out who made it",
		})
	}
	quotas, err := s.api.CoreV1().ResourceQuotas(layout.TokenNamespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("look for the quota of the token namespace: %w", err)
	}
	for _, quota := range quotas.Items {
		if most, ok := quota.Spec.Hard[corev1.ResourcePods]; ok && most.IsZero() && len(quota.Spec.Scopes) == 0 && quota.Spec.ScopeSelector == nil {
			return nil
		}
	}
	s.found(Finding{
		Rule: checkLocked, Severity: High, Object: namespace,
		Message: "no quota keeps Pods out, and a Pod there can mount every token", Mend: "helm upgrade the bulkhead release",
	})
	return nil
}
