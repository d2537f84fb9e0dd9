package sidecar

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// retiredGrace is the least time that a retired Secret is kept: a volume that
// was being made when the namespace went still needs it to be deleted.
const retiredGrace = time.Minute

// clear moves out of the way the token of a namespace that goes, or that was
// there before one of the same name.
func (c *controller) clear(ctx context.Context, k key, ns *corev1.Namespace, secret *corev1.Secret) error {
	if secret == nil || secret.Type != secretType || (stays(ns) && c.isOf(secret, ns)) {
		return nil // a Secret of another type is not ours to remove
	}
	err := c.move(ctx, k, ns, secret)
	if err != nil && c.layout.Placement == tenancy.InTenant && ns != nil {
		// The Secret keeps the namespace from going, which must not last.
		if left := c.retireTimeout - c.now().Sub(ns.DeletionTimestamp.Time); left > 0 {
			c.lanes.urgent.AddAfter(k, left)
			return err
		}
		c.event(ns, corev1.EventTypeWarning, "TokenReleased",
			"The storage token could not be kept for the volumes of this namespace, and the namespace is let go; deleting them may need the storage admin")
		klog.FromContext(ctx).Error(err, "Gave up keeping the token of a namespace that goes: deleting its volumes may need the storage admin", "namespace", ns.Name)
		err = nil
	}
	if err != nil {
		return err
	}
	return c.remove(ctx, secret)
}

// move puts the token of a namespace into a Secret named by the namespace's uid
// and points the volumes and snapshots that it leaves behind there, so that they
// can still be deleted, by their own token. Each step may be repeated.
func (c *controller) move(ctx context.Context, k key, ns *corev1.Namespace, secret *corev1.Secret) error {
	r, ok := recordOf(secret)
	if c.layout.Placement == tenancy.InTenant && ns != nil {
		// What lies in a tenant's namespace may say anything.
		tenant := tenantOf(ns)
		ok = ok && r.tenant == tenant && r.holds(secret) && c.minter.accept(ctx, string(secret.Data[tenancy.TokenKey])) == nil
		r.tenant = tenant
	}
	plain := tenancy.SecretRef{Namespace: secret.Namespace, Name: secret.Name}
	if c.layout.Placement != tenancy.InTenant && !ok {
		// Nobody can say any more whose token it was.
		klog.FromContext(ctx).Info("Removing a token Secret that does not say whose it is", "secret", plain.String())
		return nil
	}
	left, err := c.leftBehind(r.tenant, ns)
	if err != nil {
		return err
	}
	if !ok && len(left) == 0 {
		return nil
	}
	target := slot{ref: c.layout.RetiredSecret(r.tenant.UID), state: retired, tenant: r.tenant}
	there, err := c.tokens.get(target.ref)
	if err != nil {
		return err
	}
	switch {
	case !ok:
		if _, err := c.refresh(ctx, k, target, there); err != nil {
			return fmt.Errorf("retire the token of %s: %w", r.tenant, err)
		}
	case there == nil:
		if err := c.tokens.put(ctx, nil, target.secret(r, string(secret.Data[tenancy.TokenKey]))); err != nil {
			return fmt.Errorf("retire the token of %s: %w", r.tenant, err)
		}
	}
	for _, referrer := range left {
		if err := c.references.point(ctx, referrer, plain, target.ref); err != nil {
			return fmt.Errorf("retire the token of %s: %w", r.tenant, err)
		}
	}
	klog.FromContext(ctx).Info("Retired the token of a namespace that goes",
		"namespace", r.tenant.Namespace, "subject", r.subject, "secret", target.ref.String(), "references", len(left))
	return nil
}

// leftBehind are the volumes and snapshot contents of a tenant whose namespace
// goes or is gone. ns is the namespace that has the name now, nil if none has.
// The webhook writes on each whose it is; where that is missing, what is older
// than the namespace of today was left by the former one.
func (c *controller) leftBehind(tenant tenancy.Tenant, ns *corev1.Namespace) ([]referrer, error) {
	left, err := c.references.find(byOrigin, tenant.UID)
	if err != nil {
		return nil, err
	}
	successor := ns != nil && string(ns.UID) != tenant.UID
	others, err := c.references.find(byNamespace, tenant.Namespace)
	if err != nil {
		return nil, err
	}
	for _, r := range others {
		if _, ok := r.origin(); ok {
			continue // it was found above, or is another's
		}
		created := r.object.GetCreationTimestamp()
		if !successor || created.Before(&ns.CreationTimestamp) {
			left = append(left, r)
		}
	}
	return left, nil
}

// reconcileRetired keeps a retired token fresh as long as something refers to
// it, and removes it then. What was left behind while nobody was there to
// retire the token, or was still being made then, is pointed to it.
func (c *controller) reconcileRetired(ctx context.Context, k key) (time.Duration, error) {
	target := slot{ref: c.layout.RetiredSecret(k.name), state: retired}
	secret, err := c.tokens.get(target.ref)
	if err != nil {
		return 0, err
	}
	tenant, known, err := c.tenantThatWas(k.name, secret)
	if err != nil {
		return 0, err
	}
	target.tenant = tenant
	if !known {
		return c.expire(ctx, secret)
	}
	ns, err := c.namespace(tenant.Namespace)
	if err != nil {
		return 0, err
	}
	plain := c.layout.TokenSecret(tenant.Namespace)
	if ns != nil && string(ns.UID) == tenant.UID {
		if stays(ns) {
			return c.expire(ctx, secret) // it lives; nothing refers to this one
		}
		if token, err := c.tokens.get(plain); err != nil || token != nil {
			return 0, err // the token is about to be moved
		}
	}
	left, err := c.leftBehind(tenant, ns)
	if err != nil {
		return 0, err
	}
	users, err := c.references.find(bySecret, target.ref.String())
	if err != nil {
		return 0, err
	}
	if len(left)+len(users) == 0 {
		return c.expire(ctx, secret)
	}
	again, err := c.refresh(ctx, k, target, secret)
	if secret == nil {
		return again, err // the new Secret brings it back here
	}
	for _, referrer := range left {
		if pointErr := c.references.point(ctx, referrer, plain, target.ref); pointErr != nil && err == nil {
			err = pointErr
		}
	}
	return again, err
}

// tenantThatWas is the tenant that had the uid: by the retired Secret, or by
// what the webhook wrote on the volumes and contents it left behind.
func (c *controller) tenantThatWas(uid string, secret *corev1.Secret) (tenancy.Tenant, bool, error) {
	if secret != nil {
		if r, ok := recordOf(secret); ok && r.tenant.UID == uid {
			return r.tenant, true, nil
		}
	}
	left, err := c.references.find(byOrigin, uid)
	if err != nil || len(left) == 0 {
		return tenancy.Tenant{}, false, err
	}
	tenant, ok := left[0].origin()
	return tenant, ok, nil
}

// expire removes a retired Secret that nothing refers to, after a while.
func (c *controller) expire(ctx context.Context, secret *corev1.Secret) (time.Duration, error) {
	if secret == nil {
		return 0, nil
	}
	ref := tenancy.SecretRef{Namespace: secret.Namespace, Name: secret.Name}
	users, err := c.references.find(bySecret, ref.String())
	if err != nil {
		return 0, err
	}
	if age := c.now().Sub(secret.CreationTimestamp.Time); age < retiredGrace {
		return retiredGrace - age, nil
	}
	if len(users) > 0 || !c.references.complete() {
		return retiredGrace, nil
	}
	klog.FromContext(ctx).Info("Removing a retired token: nothing refers to it any more", "secret", ref.String())
	return 0, c.remove(ctx, secret)
}
