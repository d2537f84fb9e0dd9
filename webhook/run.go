// Package webhook is the admission webhook of a compute cluster. It writes the
// reference to the token into whatever needs it and refuses whatever reaches
// for another tenant's data. One file holds one kind of object or one rule.
package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
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
	// Registration is the name of the webhook configurations, with which those of
	// the first layer's policies begin.
	Registration string
	// Policy is what the admin decides about the rules.
	Policy Policy
	// ClientCAFile is a PEM bundle: whoever calls must show a certificate that
	// it verifies. If empty anybody may ask who reaches the address.
	ClientCAFile string
	// Certificate serves TLS.
	Certificate Certificate
	// ShutdownDelay is how long it serves on once it has been told to end: as long
	// as API servers need to learn that.
	ShutdownDelay time.Duration
}

// Run serves until ctx ends, and for the delay after. It fails at once on a bad configuration.
func Run(ctx context.Context, cfg Config) error {
	host, port, err := splitAddress(cfg.Address)
	if err != nil {
		return err
	}
	clientTrust, err := clientAuthentication(cfg.ClientCAFile)
	if err != nil {
		return err
	}
	server := webhook.NewServer(webhook.Options{Host: host, Port: port, TLSOpts: []func(*tls.Config){
		func(c *tls.Config) {
			c.MinVersion = tls.VersionTLS13
			c.GetCertificate = cfg.Certificate.GetCertificate
		},
		clientTrust,
	}})
	l, err := newLookup(cfg)
	if err != nil {
		return err
	}
	l.policy.announce(klog.FromContext(ctx))
	collectEarly()
	scheme, err := newScheme()
	if err != nil {
		return err
	}
	var synced atomic.Bool
	mgr, err := ctrl.NewManager(cfg.Kubernetes, ctrl.Options{
		Scheme:                 scheme,
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
			DefaultTransform: l.strip,
			// A kind is cached because it is listed, not because a rule reads it.
			ReaderFailOnMissingInformer: true,
		},
	})
	if err != nil {
		return fmt.Errorf("manager: %w", err)
	}
	l.cached, l.live, l.kinds = mgr.GetCache(), mgr.GetAPIReader(), mgr.GetRESTMapper()
	authorization, err := authorizationclient.NewForConfigAndClient(cfg.Kubernetes, mgr.GetHTTPClient())
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	api, err := dynamic.NewForConfigAndClient(cfg.Kubernetes, mgr.GetHTTPClient())
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	list := newClassList(api, mgr.GetCache(), cfg.Drivers, cfg.Registration)
	l.listed = list.holds
	l.gatekeeper = accessReviews{authorization.SubjectAccessReviews()}
	metrics := newMetrics(ctrlmetrics.Registry)
	if l.judge, err = newStorageJudge(cfg, metrics); err != nil {
		return err
	}
	// Asked for now, so that the caches fill before the first request.
	for _, object := range cachedKinds() {
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
	if err := list.watch(ctx, mgr.GetCache()); err != nil {
		return err
	}
	if err := mgr.Add(everywhere(func(ctx context.Context) error {
		if !mgr.GetCache().WaitForCacheSync(ctx) {
			return nil // the end has come first
		}
		return list.keep(ctx)
	})); err != nil {
		return fmt.Errorf("list of classes: %w", err)
	}
	if err := mgr.Add(everywhere(func(ctx context.Context) error {
		return cacheLate(ctx, mgr.GetCache(), mgr.GetScheme(), mgr.GetRESTMapper())
	})); err != nil {
		return fmt.Errorf("caches: %w", err)
	}
	mgr.GetWebhookServer() // the manager runs it only once somebody has asked for it
	g := &gate{lookup: l, metrics: metrics}
	var d drain
	server.Register(MutatePath, d.handler(&admission.Webhook{Handler: admission.HandlerFunc(g.mutate)}))
	server.Register(ValidatePath, d.handler(&admission.Webhook{Handler: admission.HandlerFunc(g.validate)}))
	if err := mgr.Start(d.start(ctx, cfg.ShutdownDelay)); err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	return nil
}

// newLookup is all that the configuration says; what reaches the API server and
// the storage cluster comes later.
func newLookup(cfg Config) (*lookup, error) {
	if err := cfg.Layout.Validate(); err != nil {
		return nil, err
	}
	if len(cfg.Drivers.CSI) == 0 {
		return nil, errors.New("no CSI driver name: want at least one, e.g. " + tenancy.CSIDriver)
	}
	if cfg.Registration == "" {
		return nil, errors.New("no name of the webhook configurations")
	}
	policy, err := newPolicy(cfg.Policy)
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
		drivers: cfg.Drivers, layout: cfg.Layout, policy: policy, provisioners: provisioners, sidecar: sidecar,
	}, nil
}

func newStorageJudge(cfg Config, m *metrics) (judge, error) {
	issuer, err := exchange.NewClient(cfg.Issuer)
	if err != nil {
		return nil, err
	}
	storageClient, err := storage.Dial(cfg.Storage)
	if err != nil {
		return nil, err
	}
	return newPatientJudge(&storageJudge{issuer: issuer, storage: storageClient}, m), nil
}

// clientAuthentication makes the server ask callers for a certificate, if there
// is a CA to verify it with.
func clientAuthentication(caFile string) (func(*tls.Config), error) {
	if caFile == "" {
		return func(*tls.Config) {}, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("client CA: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("client CA: no certificate in %s", caFile)
	}
	return func(c *tls.Config) { c.ClientCAs, c.ClientAuth = roots, tls.RequireAndVerifyClientCert }, nil
}

// newScheme knows the kinds that lookups read.
func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientscheme.AddToScheme(scheme), snapshotv1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("scheme: %w", err)
	}
	return scheme, nil
}

// userOf is the user name of a ServiceAccount, "namespace/name".
func userOf(account string) (string, error) {
	namespace, name, ok := strings.Cut(account, "/")
	if !ok || namespace == "" || name == "" {
		return "", fmt.Errorf("ServiceAccount %q: want namespace/name", account)
	}
	return "system:serviceaccount:" + namespace + ":" + name, nil
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
