package sidecar

import (
	"context"
	"fmt"
	"slices"

	snapshotclient "github.com/kubernetes-csi/external-snapshotter/client/v8/clientset/versioned"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	recording "k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/klog/v2"

	"github.com/bulkhead-dev/bulkhead/exchange"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// leader is the replica that works, and what it needs for that.
type leader struct {
	cfg        Config
	driver     *driver
	issuer     *exchange.Client
	kubernetes *rest.Config
	registry   *prometheus.Registry
}

// lead does the work until ctx ends.
func (l *leader) lead(ctx context.Context) error {
	// Costs both ends less than JSON. Custom resources have no other form than that.
	compact := rest.CopyConfig(l.kubernetes)
	compact.ContentType = runtime.ContentTypeProtobuf
	client, err := kubernetes.NewForConfig(compact)
	if err != nil {
		return fmt.Errorf("kubernetes client: %w", err)
	}
	metadataClient, err := metadata.NewForConfig(l.kubernetes)
	if err != nil {
		return fmt.Errorf("kubernetes client: %w", err)
	}
	snapshots, err := snapshotclient.NewForConfig(l.kubernetes)
	if err != nil {
		return fmt.Errorf("snapshot client: %w", err)
	}
	m, s := newMetrics(l.registry), newStatus(l.driver.name, Selection{Selector: l.cfg.NamespaceSelector, Exempt: l.cfg.Exempt, Lazy: l.cfg.Lazy})
	c := &controller{
		layout: l.cfg.Layout, metrics: m, now: l.cfg.Now, retireTimeout: l.cfg.RetireTimeout,
		minter: &minter{
			issuer: l.issuer, accept: l.driver.accept, status: s, metrics: m, now: l.cfg.Now,
			inForce: &inForce{keyIDs: l.issuer.KeyIDs}, unscheduled: flowcontrol.NewBackOff(minRetry, maxRetry),
		},
	}
	c.minter.inForce.changed = c.recheck

	caches := &caches{ctx: ctx}
	if err := l.fill(caches, c, client, metadataClient); err != nil {
		return err
	}
	c.start()
	watchTokens(l.registry, c.tokens, c.minter.gate)
	broadcaster := recording.NewBroadcaster(recording.WithContext(ctx))
	broadcaster.StartRecordingToSink(&corev1client.EventSinkImpl{Interface: client.CoreV1().Events("")})
	defer broadcaster.Shutdown()
	c.events = broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: fieldOwner})

	caches.start()
	if !caches.synced() {
		return ctx.Err()
	}
	klog.FromContext(ctx).Info("Keeping tokens fresh", "placement", l.cfg.Layout.Placement, "tokenNamespace", l.cfg.Layout.TokenNamespace)
	group, ctx := errgroup.WithContext(ctx)
	also := func(work func(context.Context)) { group.Go(func() error { work(ctx); return nil }) }
	also(func(ctx context.Context) { c.run(ctx, l.cfg.Workers) })
	also(c.minter.inForce.followKeys)
	// Not waited for: what cannot be listed must not keep tokens from being fresh.
	also(func(ctx context.Context) { c.references.followSnapshots(ctx, snapshots, l.driver.name, c.seeReferrer) })
	also(func(ctx context.Context) {
		wait.UntilWithContext(ctx, func(context.Context) { c.minter.unscheduled.GC() }, maxRetry)
	})
	also(func(ctx context.Context) { watchClock(ctx, c.now, c.recheck) })
	also(func(ctx context.Context) {
		followCredential(ctx, l.cfg.Issuer.CredentialFile, c.now, s, m, c.minter.gate.nudge)
	})
	if namespace := l.cfg.Standard.LeaderElectionNamespace; namespace != "" {
		also(func(ctx context.Context) {
			s.publish(ctx, client.CoreV1().ConfigMaps(namespace), namespace)
		})
	}
	return group.Wait()
}

// fill makes the caches that the controller works from.
func (l *leader) fill(all *caches, c *controller, client kubernetes.Interface, metadataClient metadata.Interface) error {
	cluster := informers.NewSharedInformerFactory(client, 0).Core().V1()
	namespaces, volumes := cluster.Namespaces(), cluster.PersistentVolumes()
	c.namespaces = namespaces.Lister()
	all.add(namespaces.Informer(), stripNamespace, c.seeNamespace)
	if err := volumes.Informer().AddIndexers(referrerIndexers()); err != nil {
		return fmt.Errorf("index volumes: %w", err)
	}
	hasVolumes := all.add(volumes.Informer(), stripVolume(l.driver.name), c.seeReferrer)
	c.references = &references{volumes: volumes.Informer().GetIndexer(), patch: metadataClient, knowledge: knowledge{volumesSynced: hasVolumes}}

	layout := l.cfg.Layout
	central := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(layout.TokenNamespace)).Core().V1().Secrets()
	all.add(central.Informer(), stripSecret, c.seeSecret)
	store := &apiStore{client: client, central: central.Lister(), tokenNamespace: layout.TokenNamespace}
	if layout.Placement == tenancy.InTenant {
		// By this selector a role can name the Secrets that may be read.
		named := func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector("metadata.name", layout.Template).String()
		}
		inTenants := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTweakListOptions(named)).Core().V1().Secrets()
		all.add(inTenants.Informer(), stripSecret, c.seeSecret)
		store.inTenants = inTenants.Lister()
	}
	c.tokens = store

	selector, err := labels.Parse(l.cfg.NamespaceSelector)
	if err != nil {
		return fmt.Errorf("namespace selector: %w", err)
	}
	c.selected = selection{selector: selector, exempt: append(slices.Clone(l.cfg.Exempt), layout.TokenNamespace)}
	if l.cfg.Lazy {
		c.selected.asked = askingClaims(all, metadataClient, layout, func(namespace string) { c.lanes.add(key{ofNamespace, namespace}) })
	}
	return all.err
}

// caches are informers that are started together.
type caches struct {
	ctx       context.Context //nolint:containedctx // lives as long as what it starts
	informers []cache.SharedIndexInformer
	handlers  []cache.InformerSynced
	err       error
}

// add takes in an informer before it starts. The first fault is kept in err.
func (c *caches) add(informer cache.SharedIndexInformer, strip cache.TransformFunc, see func(any)) cache.InformerSynced {
	if err := informer.SetTransform(strip); err != nil && c.err == nil {
		c.err = fmt.Errorf("cache: %w", err)
	}
	synced, err := watch(informer, see)
	if err != nil && c.err == nil {
		c.err = err
	}
	c.informers, c.handlers = append(c.informers, informer), append(c.handlers, synced)
	return informer.HasSynced
}

func (c *caches) start() {
	for _, informer := range c.informers {
		go informer.RunWithContext(c.ctx)
	}
}

// synced waits until every handler has seen what there is; false if ctx ended.
func (c *caches) synced() bool { return cache.WaitForCacheSync(c.ctx.Done(), c.handlers...) }

// stripNamespace keeps what is read of a namespace.
func stripNamespace(object any) (any, error) {
	ns, ok := object.(*corev1.Namespace)
	if !ok {
		return object, nil
	}
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: ns.Name, UID: ns.UID, ResourceVersion: ns.ResourceVersion, Labels: ns.Labels,
		CreationTimestamp: ns.CreationTimestamp, DeletionTimestamp: ns.DeletionTimestamp,
	}}, nil
}

// maxToken bounds what is kept of a token, in bytes; one is about 1 KiB.
const maxToken = 16 << 10

// stripSecret keeps what is read: a tenant could fill the Secret in its
// namespace with anything else, and there is one for each namespace.
func stripSecret(object any) (any, error) {
	secret, ok := object.(*corev1.Secret)
	if !ok {
		return object, nil
	}
	stripped := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: secret.Namespace, Name: secret.Name, UID: secret.UID, ResourceVersion: secret.ResourceVersion,
			CreationTimestamp: secret.CreationTimestamp, DeletionTimestamp: secret.DeletionTimestamp,
			Finalizers: secret.Finalizers, OwnerReferences: secret.OwnerReferences,
			Labels: stateLabels(secret.Labels), Annotations: recorded(secret.Annotations),
		},
		Type: secret.Type, Immutable: secret.Immutable,
	}
	if stripped.Type == secretType {
		stripped.Type = secretType // one string for all
	}
	if token := secret.Data[tenancy.TokenKey]; len(token) > 0 && len(token) <= maxToken {
		stripped.Data = map[string][]byte{tenancy.TokenKey: token}
	}
	return stripped, nil
}
