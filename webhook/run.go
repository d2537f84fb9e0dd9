// Package webhook is the admission webhook of a compute cluster. It writes the
// reference to the token into whatever needs it and refuses whatever reaches
// for another tenant's data. One file holds one kind of object or one rule.
package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/bulkhead-dev/bulkhead/exchange"
	"github.com/bulkhead-dev/bulkhead/storage"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// Paths that the API server calls.
const (
	MutatePath   = "/mutate"
	ValidatePath = "/validate"
)

// Certificate serves TLS and keeps the API server trusting it.
type Certificate interface {
	// GetCertificate is for tls.Config.
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Start works until ctx ends.
	Start(ctx context.Context) error
	// Ready returns nil once the API server trusts the certificate.
	Ready(*http.Request) error
}

// Config configures the webhook.
type Config struct {
	// Kubernetes is how to reach the API server.
	Kubernetes *rest.Config
	// Address to serve admission on, host:port, with TLS.
	Address string
	// HTTPEndpoint to serve /metrics, /healthz and /readyz on, host:port; "0"
	// for none.
	HTTPEndpoint string
	// Issuer and Storage answer whose volume a raw handle is.
	Issuer  exchange.Config
	Storage storage.Endpoint
	// Drivers are the provisioner names that are ours.
	Drivers tenancy.Drivers
	// Layout says where tokens lie.
	Layout tenancy.Layout
	// Provisioners are the ServiceAccounts, "namespace/name", under which the
	// driver's csi-provisioner runs.
	Provisioners []string
	// Sidecar is the ServiceAccount, "namespace/name", of Bulkhead's sidecar.
	Sidecar string
	// Certificate serves TLS.
	Certificate Certificate
}

// Run serves until ctx ends. It fails at once on a bad configuration.
func Run(ctx context.Context, cfg Config) error {
	host, port, err := splitAddress(cfg.Address)
	if err != nil {
		return err
	}
	server := webhook.NewServer(webhook.Options{Host: host, Port: port, TLSOpts: []func(*tls.Config){
		func(c *tls.Config) {
			c.MinVersion = tls.VersionTLS13
			c.GetCertificate = cfg.Certificate.GetCertificate
		},
	}})
	var synced atomic.Bool
	mgr, err := ctrl.NewManager(cfg.Kubernetes, ctrl.Options{
		Scheme:                 scheme.Scheme,
		WebhookServer:          server,
		HealthProbeBindAddress: "0",
		Metrics: metricsserver.Options{BindAddress: cfg.HTTPEndpoint, ExtraHandlers: map[string]http.Handler{
			"/healthz": http.StripPrefix("/healthz", &healthz.Handler{}),
			"/readyz": http.StripPrefix("/readyz", &healthz.Handler{Checks: map[string]healthz.Checker{
				"server":      server.StartedChecker(),
				"certificate": cfg.Certificate.Ready,
				"caches": func(*http.Request) error {
					if !synced.Load() {
						return errors.New("caches are not filled yet")
					}
					return nil
				},
			}}),
		}},
		Cache: cache.Options{
			DefaultTransform: cache.TransformStripManagedFields(),
			ByObject: map[client.Object]cache.ByObject{
				&corev1.Namespace{}:             {},
				&storagev1.StorageClass{}:       {},
				&corev1.PersistentVolumeClaim{}: {Transform: stripClaim},
			},
		},
	})
	if err != nil {
		return fmt.Errorf("manager: %w", err)
	}
	lookup, err := newLookup(cfg, mgr)
	if err != nil {
		return err
	}
	// Asked for now, so that the caches fill before the first request.
	for _, object := range []client.Object{&corev1.Namespace{}, &storagev1.StorageClass{}, &corev1.PersistentVolumeClaim{}} {
		if _, err := mgr.GetCache().GetInformer(ctx, object, cache.BlockUntilSynced(false)); err != nil {
			return fmt.Errorf("cache %T: %w", object, err)
		}
	}
	if err := mgr.Add(everywhere(cfg.Certificate.Start)); err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	if err := mgr.Add(everywhere(func(ctx context.Context) error {
		synced.Store(mgr.GetCache().WaitForCacheSync(ctx))
		return nil
	})); err != nil {
		return fmt.Errorf("caches: %w", err)
	}
	mgr.GetWebhookServer() // the manager runs it only once somebody has asked for it
	server.Register(MutatePath, &admission.Webhook{Handler: dispatch(lookup, reviewer.mutate)})
	server.Register(ValidatePath, &admission.Webhook{Handler: dispatch(lookup, reviewer.validate)})
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	return nil
}

// reviewers by what the API server calls the object.
var reviewers = map[metav1.GroupKind]reviewer{
	{Kind: "PersistentVolumeClaim"}:                              claims,
	{Kind: "PersistentVolume"}:                                   volumes,
	{Group: storagev1.GroupName, Kind: "StorageClass"}:           storageClasses,
	{Group: snapshotv1.GroupName, Kind: "VolumeSnapshotClass"}:   snapshotClasses,
	{Group: snapshotv1.GroupName, Kind: "VolumeSnapshotContent"}: contents,
}

func dispatch(l *lookup, act func(reviewer, context.Context, *lookup, admission.Request) admission.Response) admission.HandlerFunc {
	return func(ctx context.Context, req admission.Request) admission.Response {
		r, ok := reviewers[metav1.GroupKind{Group: req.Kind.Group, Kind: req.Kind.Kind}]
		if !ok {
			return admission.Errored(http.StatusBadRequest, fmt.Errorf(
				"no rule for %s %s: the webhook configuration asks for more than this webhook knows", req.Kind.Group, req.Kind.Kind))
		}
		return act(r, ctx, l, req)
	}
}

func newLookup(cfg Config, mgr ctrl.Manager) (*lookup, error) {
	if err := cfg.Layout.Validate(); err != nil {
		return nil, err
	}
	if len(cfg.Drivers.CSI) == 0 {
		return nil, errors.New("no CSI driver name: want at least one, e.g. " + tenancy.CSIDriver)
	}
	issuer, err := exchange.NewClient(cfg.Issuer)
	if err != nil {
		return nil, err
	}
	storageClient, err := storage.Dial(cfg.Storage)
	if err != nil {
		return nil, err
	}
	provisioners := map[string]bool{}
	for _, sa := range cfg.Provisioners {
		user, err := userOf(sa)
		if err != nil {
			return nil, fmt.Errorf("provisioner: %w", err)
		}
		provisioners[user] = true
	}
	sidecar, err := userOf(cfg.Sidecar)
	if err != nil {
		return nil, fmt.Errorf("sidecar: %w", err)
	}
	return &lookup{
		drivers: cfg.Drivers, layout: cfg.Layout, provisioners: provisioners, sidecar: sidecar,
		cached: mgr.GetClient(), live: mgr.GetAPIReader(),
		judge: &storageJudge{issuer: issuer, storage: storageClient},
	}, nil
}

// userOf is the user name of a ServiceAccount, "namespace/name".
func userOf(account string) (string, error) {
	namespace, name, ok := strings.Cut(account, "/")
	if !ok || namespace == "" || name == "" {
		return "", fmt.Errorf("ServiceAccount %q: want namespace/name", account)
	}
	return "system:serviceaccount:" + namespace + ":" + name, nil
}

// stripClaim keeps of a cached claim what the rules read.
func stripClaim(object any) (any, error) {
	claim, ok := object.(*corev1.PersistentVolumeClaim)
	if !ok {
		return object, nil
	}
	stripped := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID, ResourceVersion: claim.ResourceVersion,
		},
		Spec: corev1.PersistentVolumeClaimSpec{
			VolumeName: claim.Spec.VolumeName, StorageClassName: claim.Spec.StorageClassName,
		},
	}
	if class, ok := claim.Annotations[tenancy.BetaStorageClass]; ok {
		stripped.Annotations = map[string]string{tenancy.BetaStorageClass: class}
	}
	return stripped, nil
}

// everywhere is work that every replica does, leader or not.
type everywhere func(context.Context) error

func (f everywhere) Start(ctx context.Context) error { return f(ctx) }
func (everywhere) NeedLeaderElection() bool          { return false }

func splitAddress(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("address: %w", err)
	}
	if port, err = strconv.Atoi(text); err != nil || port < 1 || port > 65535 {
		return "", 0, fmt.Errorf("address %q: the port is not a number from 1 to 65535", address)
	}
	return host, port, nil
}
