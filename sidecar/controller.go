package sidecar

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1lister "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	recording "k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

const (
	// minRetry and maxRetry bound how soon an item that failed alone, not with
	// the issuer, is tried again.
	minRetry = time.Second
	maxRetry = 5 * time.Minute
	// busyRetry is when an item that is worked on in the other lane comes back.
	busyRetry = 100 * time.Millisecond
)

// controller keeps one fresh token for each namespace, and for what namespaces
// leave behind.
type controller struct {
	layout     tenancy.Layout
	minter     *minter
	tokens     tokenStore
	references *references
	namespaces corev1lister.NamespaceLister
	selected   selection
	events     recording.EventRecorder
	metrics    *metrics
	now        func() time.Time
	// retireTimeout is how long a namespace may be kept from going, in placement
	// `tenant`, because its token cannot be moved.
	retireTimeout time.Duration

	lanes *lanes
	retry workqueue.TypedRateLimiter[key]
}

// start makes the parts that need the controller itself.
func (c *controller) start() {
	c.lanes = newLanes(c.isUrgent)
	c.retry = workqueue.NewTypedItemExponentialFailureRateLimiter[key](minRetry, maxRetry)
	c.minter.gate = newGate(c.now, c.lanes.addAfter)
}

// patience is how long an item can wait, as at the gate.
func (c *controller) patience(k key) time.Duration {
	if k.kind != ofNamespace {
		return maxRetry
	}
	secret, err := c.tokens.get(c.layout.TokenSecret(k.name))
	if err != nil || secret == nil {
		return maxRetry
	}
	r, _ := recordOf(secret)
	return patience(r.expires.Sub(c.now()), maxRetry)
}

// run works both lanes until ctx ends.
func (c *controller) run(ctx context.Context, workers int) {
	context.AfterFunc(ctx, c.lanes.shutDown)
	var group sync.WaitGroup
	for _, lane := range []workqueue.TypedDelayingInterface[key]{c.lanes.urgent, c.lanes.routine} {
		for range workers {
			group.Go(func() {
				for c.next(ctx, lane) {
				}
			})
		}
	}
	group.Wait()
}

func (c *controller) next(ctx context.Context, lane workqueue.TypedDelayingInterface[key]) bool {
	k, shutdown := lane.Get()
	if shutdown {
		return false
	}
	defer lane.Done(k)
	if right := c.lanes.of(k); right != lane {
		right.Add(k)
		return true
	}
	if !c.lanes.begin(k) {
		lane.AddAfter(k, busyRetry)
		return true
	}
	again, err := c.reconcile(ctx, k)
	c.lanes.end(k)
	switch gate := c.minter.gate; {
	case errors.Is(err, errWaiting):
		gate.settle()
		return true // the gate brings it back
	default:
		gate.forget(k)
		gate.settle()
	}
	switch {
	case err == nil:
		c.retry.Forget(k)
		if again > 0 {
			c.lanes.addAfter(k, again)
		}
	case ctx.Err() != nil:
	default:
		after := min(c.retry.When(k), c.patience(k))
		c.report(ctx, k, err, after)
		c.lanes.addAfter(k, after)
	}
	return true
}

// report says once for each attempt what kept an item from being in order.
func (c *controller) report(ctx context.Context, k key, err error, after time.Duration) {
	logger := klog.FromContext(ctx)
	if contested(err) {
		// Our own write that the cache has not seen, or that of another leader.
		logger.V(2).Info("The object has changed; looking again", string(k.kind), k.name, "reason", err.Error())
		return
	}
	logger.Error(err, "Token not in order; will try again", string(k.kind), k.name, "after", after)
	c.metrics.failures.WithLabelValues(causeOf(err, causeKubernetes)).Inc()
	if k.kind != ofNamespace {
		return
	}
	if denial, ok := asDenial(err); ok {
		if ns, err := c.namespaces.Get(k.name); err == nil {
			c.event(ns, corev1.EventTypeWarning, "TokenDenied", "The policy of the storage cluster grants this namespace no storage token: %s", denial.Description)
		}
	}
}

// contested reports whether somebody else has written the object since it was
// seen.
func contested(err error) bool { return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) }

// event is about a Namespace, and lies in it, where its people look, or in
// "default" once nothing can be made in it any more.
func (c *controller) event(ns *corev1.Namespace, eventType, reason, format string, arguments ...any) {
	about := &corev1.ObjectReference{APIVersion: "v1", Kind: "Namespace", Name: ns.Name, UID: ns.UID}
	if stays(ns) {
		about.Namespace = ns.Name
	}
	c.events.Eventf(about, eventType, reason, format, arguments...)
}

// reconcile brings one item in order and says when to look at it again.
func (c *controller) reconcile(ctx context.Context, k key) (again time.Duration, err error) {
	switch k.kind {
	case ofRetired:
		return c.reconcileRetired(ctx, k)
	case ofContent:
		return c.reconcileContent(ctx, k)
	case ofNamespace:
		return c.reconcileNamespace(ctx, k)
	}
	return 0, fmt.Errorf("no such work: %s", k.kind)
}

// namespace is a namespace as the cache has it, nil if there is none.
func (c *controller) namespace(name string) (*corev1.Namespace, error) {
	ns, err := c.namespaces.Get(name)
	if apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("namespace %s: %w", name, err)
	}
	return ns, nil
}

func tenantOf(ns *corev1.Namespace) tenancy.Tenant {
	return tenancy.Of(ns.Name, string(ns.UID), ns.Labels)
}

func stays(ns *corev1.Namespace) bool { return ns != nil && ns.DeletionTimestamp.IsZero() }

// isUrgent reports whether somebody waits for the item: for a first token, or
// for a namespace to go.
func (c *controller) isUrgent(k key) bool {
	if k.kind != ofNamespace {
		return false
	}
	ns, err := c.namespace(k.name)
	if err != nil {
		return false
	}
	secret, err := c.tokens.get(c.layout.TokenSecret(k.name))
	if err != nil {
		return false
	}
	if !stays(ns) {
		return secret != nil
	}
	if secret == nil {
		return true
	}
	r, ok := recordOf(secret)
	return !ok || r.tenant != tenantOf(ns) || !c.now().Before(r.expires)
}

// reconcileNamespace gives a namespace its token, once what a namespace of the
// same name left behind has been moved out of the way.
func (c *controller) reconcileNamespace(ctx context.Context, k key) (time.Duration, error) {
	ns, err := c.namespace(k.name)
	if err != nil {
		return 0, err
	}
	secret, err := c.tokens.get(c.layout.TokenSecret(k.name))
	if err != nil {
		return 0, err
	}
	if err := c.clear(ctx, k, ns, secret); err != nil {
		return 0, err
	}
	if !stays(ns) {
		return 0, nil
	}
	if secret != nil && !c.isOf(secret, ns) {
		secret = nil // clear has removed it
	}
	if !c.selected.takes(ns) {
		return c.wither(ctx, k, ns, secret)
	}
	return c.refresh(ctx, k, c.liveSlot(ns), secret)
}

// isOf reports whether the token Secret of a namespace is about this namespace,
// and not one of the same name that was there before. In placement `tenant` it
// lies in the namespace and went with the other one.
func (c *controller) isOf(secret *corev1.Secret, ns *corev1.Namespace) bool {
	if c.layout.Placement == tenancy.InTenant {
		return true
	}
	for _, owner := range secret.OwnerReferences {
		if owner.Kind == "Namespace" {
			return owner.UID == ns.UID
		}
	}
	r, ok := recordOf(secret)
	// One that does not say whose it is, is not moved but overwritten.
	return !ok || (r.tenant.Namespace == ns.Name && r.tenant.UID == string(ns.UID))
}

// wither is for a namespace that is not selected: what volumes still use is
// kept fresh, and what nothing uses is removed once it has run out.
func (c *controller) wither(ctx context.Context, k key, ns *corev1.Namespace, secret *corev1.Secret) (time.Duration, error) {
	slot := c.liveSlot(ns)
	used, err := c.references.find(byNamespace, ns.Name)
	if err != nil {
		return 0, err
	}
	if len(used) > 0 {
		return c.refresh(ctx, k, slot, secret)
	}
	if secret == nil || secret.Type != secretType {
		return 0, nil
	}
	if r, ok := recordOf(secret); ok && c.now().Before(r.expires) {
		return r.expires.Sub(c.now()), nil
	}
	return 0, c.remove(ctx, secret)
}

// remove deletes a Secret, and what is known of it.
func (c *controller) remove(ctx context.Context, secret *corev1.Secret) error {
	c.minter.published.forget(tenancy.SecretRef{Namespace: secret.Namespace, Name: secret.Name})
	return c.tokens.remove(ctx, secret)
}

func (c *controller) liveSlot(ns *corev1.Namespace) slot {
	s := slot{ref: c.layout.TokenSecret(ns.Name), state: live, tenant: tenantOf(ns)}
	if c.layout.Placement == tenancy.InTenant {
		s.finalizer = true
	} else {
		s.owner = &metav1.OwnerReference{APIVersion: "v1", Kind: "Namespace", Name: ns.Name, UID: ns.UID}
	}
	return s
}

// recheck looks at everything anew: something that all tokens depend on changed.
func (c *controller) recheck() {
	namespaces, _ := c.namespaces.List(everything) // a lister of a cache does not fail
	for _, ns := range namespaces {
		c.lanes.add(key{ofNamespace, ns.Name})
	}
	secrets, _ := c.tokens.all()
	for _, secret := range secrets {
		c.seeSecret(secret)
	}
}

// refresh makes sure that the slot holds a fresh token, given the Secret that is
// there. A token that cannot be had or fails its proof leaves it as it is.
func (c *controller) refresh(ctx context.Context, k key, s slot, secret *corev1.Secret) (time.Duration, error) {
	if err := keptByOthers(secret); err != nil {
		return 0, err
	}
	r, again, err := c.minter.fresh(ctx, k, s, secret)
	if err != nil || r == nil {
		return again, err
	}
	if err := c.tokens.put(ctx, secret, r.secret); err != nil {
		if !contested(err) {
			c.minter.published.keep(s.ref, r, secret)
		}
		return 0, err
	}
	c.minter.published.note(s.ref, r, secret)
	c.metrics.published.WithLabelValues(string(s.state)).Inc()
	klog.FromContext(ctx).V(2).Info("Published a token", "secret", s.ref.String(), "subject", r.subject,
		"reason", r.reason, "expires", r.expires, "refresh", r.refresh)
	return again, nil
}

// watch feeds the lanes from an informer: both what an object was and what it
// is are looked at, as an edit may have taken away whose it was.
func watch(informer cache.SharedInformer, enqueue func(any)) (synced cache.InformerSynced, err error) {
	registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    enqueue,
		UpdateFunc: func(old, object any) { enqueue(old); enqueue(object) },
		DeleteFunc: func(object any) {
			if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = gone.Obj
			}
			enqueue(object)
		},
	})
	if err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	return registration.HasSynced, nil
}

func (c *controller) seeNamespace(object any) {
	if ns, ok := object.(*corev1.Namespace); ok {
		c.lanes.add(key{ofNamespace, ns.Name})
		// Its last token may have to go on without it.
		c.lanes.add(key{ofRetired, string(ns.UID)})
		for _, name := range c.references.contentsOf(ns.Name) {
			c.lanes.add(key{ofContent, name})
		}
	}
}

func (c *controller) seeSecret(object any) {
	secret, ok := object.(*corev1.Secret)
	if !ok {
		return
	}
	if k, ok := c.keyOf(tenancy.SecretRef{Namespace: secret.Namespace, Name: secret.Name}); ok {
		c.lanes.add(k)
	}
}

// keyOf is the work that a Secret belongs to, by its name alone: what a Secret
// says of itself may have been edited.
func (c *controller) keyOf(ref tenancy.SecretRef) (key, bool) {
	if uid, ok := c.layout.RetiredOf(ref); ok {
		return key{ofRetired, uid}, true
	}
	if name, ok := c.layout.ContentOf(ref); ok {
		return key{ofContent, name}, true
	}
	namespace, ok := c.layout.NamespaceOf(ref)
	return key{ofNamespace, namespace}, ok
}

// seeReferrer is called with volumes and snapshot contents.
func (c *controller) seeReferrer(object any) {
	r, ok := referrerOf(object)
	if !ok {
		return
	}
	for ref := range r.secrets() {
		if k, ok := c.keyOf(ref); ok {
			c.lanes.add(k)
		}
	}
	if r.namespace != "" {
		c.lanes.add(key{ofNamespace, r.namespace})
	}
	if origin, ok := r.origin(); ok {
		c.lanes.add(key{ofRetired, origin.UID})
	}
	if content, ok := object.(*snapshotv1.VolumeSnapshotContent); ok {
		c.lanes.add(key{ofContent, content.Name})
	}
}
