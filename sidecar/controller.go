package sidecar

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	corev1lister "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"github.com/bulkhead-dev/bulkhead/exchange"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

const (
	minBackoff = time.Second
	maxBackoff = time.Minute
)

// key is one item of work: the token of a live namespace, or the retired token
// of one that is gone.
type key struct {
	namespace string
	// retiredUID is the uid of the namespace that is gone, empty for a live one.
	retiredUID string
}

// issuerClient grants tokens.
type issuerClient interface {
	Exchange(ctx context.Context, tenant tenancy.Tenant) (exchange.Token, error)
}

// controller keeps one fresh token for each namespace.
type controller struct {
	layout     tenancy.Layout
	issuer     issuerClient
	accept     prober
	secrets    corev1client.SecretInterface
	references referenceStore
	namespaces corev1lister.NamespaceLister
	stored     corev1lister.SecretNamespaceLister
	metrics    *tokenMetrics
	now        func() time.Time

	queue workqueue.TypedRateLimitingInterface[key]
}

func newQueue() workqueue.TypedRateLimitingInterface[key] {
	return workqueue.NewTypedRateLimitingQueueWithConfig(
		workqueue.NewTypedItemExponentialFailureRateLimiter[key](minBackoff, maxBackoff),
		workqueue.TypedRateLimitingQueueConfig[key]{Name: "tokens"})
}

// watch feeds the queue from the informers.
func (c *controller) watch(namespaces, secrets cache.SharedIndexInformer) error {
	handle := func(keyOf func(metav1.Object) key) cache.ResourceEventHandlerFuncs {
		enqueue := func(object any) {
			if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = gone.Obj
			}
			if o, ok := object.(metav1.Object); ok {
				c.queue.Add(keyOf(o))
			}
		}
		return cache.ResourceEventHandlerFuncs{
			AddFunc: enqueue,
			// The old one too: an edit may have taken away whose it was.
			UpdateFunc: func(old, object any) { enqueue(old); enqueue(object) },
			DeleteFunc: enqueue,
		}
	}
	if _, err := namespaces.AddEventHandler(handle(func(o metav1.Object) key { return key{namespace: o.GetName()} })); err != nil {
		return fmt.Errorf("watch namespaces: %w", err)
	}
	if _, err := secrets.AddEventHandler(handle(keyOfSecret)); err != nil {
		return fmt.Errorf("watch token Secrets: %w", err)
	}
	return nil
}

func keyOfSecret(s metav1.Object) key {
	k := key{namespace: s.GetAnnotations()[namespaceAnnotation]}
	if s.GetLabels()[stateLabel] == stateRetired {
		k.retiredUID = s.GetAnnotations()[uidAnnotation]
	}
	return k
}

// run works the queue until ctx ends.
func (c *controller) run(ctx context.Context, workers int) {
	context.AfterFunc(ctx, c.queue.ShutDown)
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			wait.UntilWithContext(ctx, func(ctx context.Context) {
				for c.next(ctx) {
				}
			}, time.Second)
		})
	}
	group.Wait()
}

func (c *controller) next(ctx context.Context) bool {
	k, shutdown := c.queue.Get()
	if shutdown {
		return false
	}
	defer c.queue.Done(k)
	again, err := c.reconcile(ctx, k)
	if err != nil {
		if ctx.Err() == nil {
			klog.FromContext(ctx).Error(err, "Token not refreshed; will try again", "namespace", k.namespace, "retiredUID", k.retiredUID)
			c.metrics.failures.Inc()
		}
		c.retry(k, err)
		return true
	}
	c.queue.Forget(k)
	if again > 0 {
		c.queue.AddAfter(k, again)
	}
	return true
}

// retry puts a failed item back, no sooner than the issuer asked for.
func (c *controller) retry(k key, err error) {
	var refusal *exchange.Error
	if errors.As(err, &refusal) && refusal.RetryAfter > 0 {
		c.queue.AddAfter(k, refusal.RetryAfter)
		return
	}
	c.queue.AddRateLimited(k)
}

// reconcile brings one item in order and says when to look at it again.
func (c *controller) reconcile(ctx context.Context, k key) (again time.Duration, err error) {
	switch {
	case k.retiredUID != "":
		return c.reconcileRetired(ctx, k)
	case k.namespace == "":
		return 0, nil // a Secret in the token namespace that is not ours
	default:
		return c.reconcileLive(ctx, k.namespace)
	}
}

func (c *controller) reconcileLive(ctx context.Context, name string) (time.Duration, error) {
	namespace, err := c.namespaces.Get(name)
	if apierrors.IsNotFound(err) {
		namespace = nil
	} else if err != nil {
		return 0, fmt.Errorf("namespace %s: %w", name, err)
	}
	ref := c.layout.TokenSecret(name)
	secret, err := c.stored.Get(ref.Name)
	if apierrors.IsNotFound(err) {
		secret = nil
	} else if err != nil {
		return 0, fmt.Errorf("token Secret %s: %w", ref, err)
	}

	gone := namespace == nil || !namespace.DeletionTimestamp.IsZero()
	if secret != nil && (gone || recordOf(secret).tenant.UID != string(namespace.UID)) {
		// A namespace of the same name may follow; it must not meet the token,
		// nor may the volumes of the old one meet the new token.
		if err := c.retire(ctx, secret); err != nil {
			return 0, err
		}
	}
	if gone {
		return 0, nil
	}
	tenant := tenancy.Of(name, string(namespace.UID), namespace.Labels)
	return c.refresh(ctx, ref, stateLive, tenant, secret)
}

// refresh makes sure that the Secret holds a fresh token of the tenant. A token
// that cannot be had or fails its proof leaves the Secret as it is.
func (c *controller) refresh(ctx context.Context, ref tenancy.SecretRef, state string, tenant tenancy.Tenant, secret *corev1.Secret) (time.Duration, error) {
	now := c.now()
	if secret != nil {
		if r := recordOf(secret); r.fresh(secret, tenant, now) {
			return r.refresh.Sub(now), nil
		}
	}
	token, err := c.issuer.Exchange(ctx, tenant)
	if err != nil {
		return 0, err
	}
	r, err := prove(ctx, c.accept, tenant, token, now)
	if err != nil {
		return 0, fmt.Errorf("token for %s not published: %w", tenant, err)
	}
	if _, err := c.secrets.Apply(ctx, r.apply(ref, state, token.Raw), metav1.ApplyOptions{FieldManager: fieldOwner, Force: true}); err != nil {
		return 0, fmt.Errorf("write token Secret %s: %w", ref, err)
	}
	c.metrics.published.WithLabelValues(state).Inc()
	klog.FromContext(ctx).V(2).Info("Published a token", "secret", ref.String(), "subject", r.subject,
		"expires", r.expires, "refresh", r.refresh)
	return r.refresh.Sub(now), nil
}
