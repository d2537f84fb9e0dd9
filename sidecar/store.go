package sidecar

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	corev1lister "k8s.io/client-go/listers/core/v1"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// Finalizer is on the token Secret of a live namespace in placement `tenant`:
// the Secret stays until its token has moved to where volumes find it.
const Finalizer = "bulkhead.dev/storage-token"

// tokenStore holds the token Secrets. Every write is fenced: it fails with a
// conflict if the Secret is no longer what the writer has seen, so that a leader
// that was paused writes nothing over what its successor wrote.
type tokenStore interface {
	// get reads the Secret as it was last seen, nil if there is none.
	get(ref tenancy.SecretRef) (*corev1.Secret, error)
	// all are the Secrets last seen.
	all() ([]*corev1.Secret, error)
	// put makes the Secret what is wanted, where old is what get returned.
	put(ctx context.Context, old, want *corev1.Secret) error
	// remove deletes the Secret, its finalizer too.
	remove(ctx context.Context, old *corev1.Secret) error
}

// apiStore is the tokenStore of a cluster.
type apiStore struct {
	client kubernetes.Interface
	// central knows the token namespace; inTenants the Secrets in the namespaces
	// of tenants, nil in placement central.
	central, inTenants corev1lister.SecretLister
	tokenNamespace     string
}

func (s *apiStore) get(ref tenancy.SecretRef) (*corev1.Secret, error) {
	lister := s.central
	if ref.Namespace != s.tokenNamespace {
		lister = s.inTenants
	}
	secret, err := lister.Secrets(ref.Namespace).Get(ref.Name)
	if apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("token Secret %s: %w", ref, err)
	}
	return secret, nil
}

func (s *apiStore) all() ([]*corev1.Secret, error) {
	var all []*corev1.Secret
	for _, lister := range []corev1lister.SecretLister{s.central, s.inTenants} {
		if lister == nil {
			continue
		}
		some, err := lister.List(everything)
		if err != nil {
			return nil, fmt.Errorf("token Secrets: %w", err)
		}
		all = append(all, some...)
	}
	return all, nil
}

func (s *apiStore) put(ctx context.Context, old, want *corev1.Secret) error {
	secrets := s.client.CoreV1().Secrets(want.Namespace)
	if old != nil && !changeable(old) {
		if err := s.remove(ctx, old); err != nil {
			return err
		}
		old = nil
	}
	if old == nil {
		// An apply would overwrite a Secret that is there after all.
		if _, err := secrets.Create(ctx, want, metav1.CreateOptions{FieldManager: fieldOwner}); err != nil {
			return fmt.Errorf("create token Secret %s/%s: %w", want.Namespace, want.Name, err)
		}
		return nil
	}
	// A field manager never conflicts with itself, so the version is the fence.
	// The uid is another: an apply with a version alone makes a Secret that is
	// not there any more (apiserver, endpoints/handlers/patch.go).
	want = want.DeepCopy()
	want.ResourceVersion, want.UID = old.ResourceVersion, old.UID
	body, err := json.Marshal(want)
	if err != nil {
		return fmt.Errorf("token Secret %s/%s: %w", want.Namespace, want.Name, err)
	}
	force := true
	if _, err := secrets.Patch(ctx, want.Name, types.ApplyPatchType, body, metav1.PatchOptions{FieldManager: fieldOwner, Force: &force}); err != nil {
		return fmt.Errorf("write token Secret %s/%s: %w", want.Namespace, want.Name, err)
	}
	return nil
}

func (s *apiStore) remove(ctx context.Context, old *corev1.Secret) error {
	if hasFinalizer(old) {
		released, err := release(ctx, s.client, old)
		if apierrors.IsNotFound(err) {
			return nil
		} else if err != nil {
			return err
		}
		if !released.DeletionTimestamp.IsZero() {
			return nil // with its last finalizer it is gone
		}
		old = released
	}
	err := s.client.CoreV1().Secrets(old.Namespace).Delete(ctx, old.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &old.UID, ResourceVersion: &old.ResourceVersion},
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete Secret %s/%s: %w", old.Namespace, old.Name, err)
	}
	return nil
}

// changeable reports whether a Secret can be made into one of ours as it is: the
// type of a Secret never changes, nor does one that is immutable, and one that
// is being deleted goes.
func changeable(s *corev1.Secret) bool {
	return s.Type == secretType && (s.Immutable == nil || !*s.Immutable) && s.DeletionTimestamp.IsZero()
}

// keptByOthers says whose finalizers keep a Secret that is being deleted, so
// that no other can take its name.
func keptByOthers(s *corev1.Secret) error {
	if s == nil || s.DeletionTimestamp.IsZero() {
		return nil
	}
	others := slices.DeleteFunc(slices.Clone(s.Finalizers), func(f string) bool { return f == Finalizer })
	if len(others) == 0 {
		return nil
	}
	return fmt.Errorf("finalizers that are not ours, %.200q, keep Secret %s/%s that is being deleted: take them off", others, s.Namespace, s.Name)
}

func hasFinalizer(s *corev1.Secret) bool { return slices.Contains(s.Finalizers, Finalizer) }

// release takes our finalizer off a Secret that is still as it was seen.
func release(ctx context.Context, client kubernetes.Interface, s *corev1.Secret) (*corev1.Secret, error) {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"resourceVersion": s.ResourceVersion,
		"finalizers":      slices.DeleteFunc(slices.Clone(s.Finalizers), func(f string) bool { return f == Finalizer }),
	}})
	if err != nil {
		return nil, fmt.Errorf("release Secret %s/%s: %w", s.Namespace, s.Name, err)
	}
	released, err := client.CoreV1().Secrets(s.Namespace).Patch(ctx, s.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldOwner})
	if err != nil {
		return nil, fmt.Errorf("release Secret %s/%s: %w", s.Namespace, s.Name, err)
	}
	return released, nil
}
