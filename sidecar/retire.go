package sidecar

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

const (
	// retiredInterval is how often the references to a retired Secret are
	// counted.
	retiredInterval = 10 * time.Second
	// retiredGrace is the least time that a retired Secret is kept: a volume
	// that was being made when the namespace went still needs it to be deleted.
	retiredGrace = time.Minute
)

// retire moves the token of a namespace that goes away to a Secret named by the
// namespace's uid and points the volumes and snapshots it left behind there, so
// that they can still be deleted, by their own token. Only then is the plain
// name free. Each step may be repeated.
func (c *controller) retire(ctx context.Context, secret *corev1.Secret) error {
	old := recordOf(secret)
	plain := tenancy.SecretRef{Namespace: secret.Namespace, Name: secret.Name}
	if secret.Type != secretType || old.tenant.Validate() != nil {
		// Without its annotations nobody can say whose token it was.
		return c.remove(ctx, secret)
	}
	retired := c.layout.RetiredSecret(old.tenant.UID)
	desired := old.apply(retired, stateRetired, string(secret.Data[tenancy.TokenKey]))
	if _, err := c.secrets.Apply(ctx, desired, metav1.ApplyOptions{FieldManager: fieldOwner, Force: true}); err != nil {
		return fmt.Errorf("retire the token of %s: write Secret %s: %w", old.tenant, retired, err)
	}
	moved, err := c.references.repoint(ctx, plain, retired)
	if err != nil {
		return fmt.Errorf("retire the token of %s: %w", old.tenant, err)
	}
	if err := c.remove(ctx, secret); err != nil {
		return err
	}
	klog.FromContext(ctx).Info("Retired the token of a namespace that is going away",
		"namespace", old.tenant.Namespace, "subject", old.subject, "secret", retired.String(), "references", moved)
	return nil
}

// reconcileRetired keeps a retired token fresh as long as something refers to
// it, and removes it then.
func (c *controller) reconcileRetired(ctx context.Context, k key) (time.Duration, error) {
	ref := c.layout.RetiredSecret(k.retiredUID)
	secret, err := c.stored.Get(ref.Name)
	if apierrors.IsNotFound(err) {
		return 0, nil
	} else if err != nil {
		return 0, fmt.Errorf("retired Secret %s: %w", ref, err)
	}
	r := recordOf(secret)
	named := r.tenant.Validate() == nil // false once somebody edited the Secret
	if named {
		if err := c.catchUp(ctx, r, ref); err != nil {
			return 0, err
		}
	}
	count, err := c.references.count(ctx, ref)
	if err != nil {
		return 0, err
	}
	if count == 0 && c.now().Sub(secret.CreationTimestamp.Time) > retiredGrace {
		klog.FromContext(ctx).Info("Removed a retired token: nothing refers to it any more", "secret", ref.String(), "subject", r.subject)
		return 0, c.remove(ctx, secret)
	}
	if !named {
		return retiredInterval, nil
	}
	next, err := c.refresh(ctx, ref, stateRetired, r.tenant, secret)
	return min(next, retiredInterval), err
}

// catchUp points to the retired Secret what was still being made when the
// namespace went, as long as nobody holds the plain name.
func (c *controller) catchUp(ctx context.Context, r record, retired tenancy.SecretRef) error {
	plain := c.layout.TokenSecret(r.tenant.Namespace)
	if _, err := c.stored.Get(plain.Name); !apierrors.IsNotFound(err) {
		return nil // somebody holds it, or the next look will tell
	}
	_, err := c.references.repoint(ctx, plain, retired)
	return err
}

// remove deletes the Secret unless it has changed since it was read.
func (c *controller) remove(ctx context.Context, s *corev1.Secret) error {
	err := c.secrets.Delete(ctx, s.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &s.UID, ResourceVersion: &s.ResourceVersion},
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete Secret %s/%s: %w", s.Namespace, s.Name, err)
	}
	return nil
}
