// Package sidecar keeps one fresh storage token for each namespace of a compute
// cluster in a Secret that the CSI sidecars read. It runs beside the CSI driver,
// as the sidecars of kubernetes-csi do.
package sidecar

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	csiconfig "github.com/kubernetes-csi/csi-lib-utils/config"
	"github.com/kubernetes-csi/csi-lib-utils/connection"
	"github.com/kubernetes-csi/csi-lib-utils/leaderelection"
	csimetrics "github.com/kubernetes-csi/csi-lib-utils/metrics"
	"github.com/kubernetes-csi/csi-lib-utils/rpc"
	"github.com/kubernetes-csi/csi-lib-utils/standardflags"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/bulkhead-dev/bulkhead/exchange"
	"github.com/bulkhead-dev/bulkhead/internal/httpserver"
	"github.com/bulkhead-dev/bulkhead/storage"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// probeTimeout bounds one call to the driver at start.
const probeTimeout = 5 * time.Second

// Config configures the sidecar.
type Config struct {
	// Standard are the flags that every CSI sidecar has.
	Standard standardflags.SidecarConfiguration
	// Issuer says where tokens come from.
	Issuer exchange.Config
	// Layout says where tokens go.
	Layout tenancy.Layout
	// Workers is how many namespaces are worked on at once.
	Workers int
}

func (c *Config) validate() error {
	if c.Standard.CSIAddress == "" {
		return errors.New("no CSI address: want the path of the driver's socket")
	}
	if c.Workers < 1 || c.Workers > 1000 {
		return fmt.Errorf("workers %d: want 1 to 1000", c.Workers)
	}
	return c.Layout.Validate()
}

// Run keeps tokens fresh until ctx ends. It fails at once on a bad
// configuration, and waits for a driver that is not there yet.
func Run(ctx context.Context, cfg Config) error {
	if err := cfg.validate(); err != nil {
		return err
	}
	issuer, err := exchange.NewClient(cfg.Issuer)
	if err != nil {
		return err
	}
	config, err := csiconfig.BuildConfig(cfg.Standard.KubeConfig, cfg.Standard)
	if err != nil {
		return fmt.Errorf("kubeconfig: %w", err)
	}
	registry := prometheus.NewRegistry()
	csiMetrics := csimetrics.NewCSIMetricsManagerForSidecar("").WithAdditionalRegistry(registry)
	mux := http.NewServeMux()
	var ready atomic.Bool
	if cfg.Standard.HttpEndpoint != "" {
		csiMetrics.RegisterToServer(mux, cfg.Standard.MetricsPath)
		mux.Handle("GET /healthz", healthz(&ready))
		wait, err := httpserver.Start(ctx, cfg.Standard.HttpEndpoint, mux, nil)
		if err != nil {
			return fmt.Errorf("http endpoint: %w", err)
		}
		go func() {
			if err := wait(); err != nil {
				klog.FromContext(ctx).Error(err, "The http endpoint stopped")
			}
		}()
	}

	conn, driver, err := connect(ctx, cfg.Standard.CSIAddress, csiMetrics)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	csiMetrics.SetDriverName(driver)
	klog.FromContext(ctx).Info("The driver is ready", "driver", driver, "address", cfg.Standard.CSIAddress)
	ready.Store(true)

	c := &controller{
		layout: cfg.Layout, issuer: issuer, now: time.Now, metrics: newTokenMetrics(registry),
		accept: func(ctx context.Context, token string) error { return storage.ProbeCSI(ctx, conn, token) },
	}
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	leaderelection.RunWithLeaderElection(ctx, config, cfg.Standard, func(leading context.Context) {
		// A leader that cannot work must not keep the lease.
		if err := c.lead(leading, config, cfg.Workers); err != nil && leading.Err() == nil {
			giveUp(err)
		}
	}, "bulkhead-sidecar-"+driver, mux, true)
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return fmt.Errorf("gave up the lease: %w", cause)
	}
	return nil
}

// connect waits for the driver and learns its name. A driver that restarts
// later is connected to again.
func connect(ctx context.Context, address string, m csimetrics.CSIMetricsManager) (*grpc.ClientConn, string, error) {
	conn, err := connection.Connect(ctx, address, m)
	if err != nil {
		return nil, "", fmt.Errorf("connect to the CSI driver at %s: %w", address, err)
	}
	if err := rpc.ProbeForever(ctx, conn, probeTimeout); err != nil {
		return nil, "", errors.Join(fmt.Errorf("CSI driver at %s: %w", address, err), conn.Close())
	}
	call, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	driver, err := rpc.GetDriverName(call, conn)
	if err != nil {
		return nil, "", errors.Join(fmt.Errorf("ask the CSI driver at %s for its name: %w", address, err), conn.Close())
	}
	return conn, driver, nil
}

// lead does the work, on one replica at a time.
func (c *controller) lead(ctx context.Context, config *rest.Config, workers int) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("kubernetes client: %w", err)
	}
	metadataClient, err := metadata.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("kubernetes client: %w", err)
	}
	c.secrets = client.CoreV1().Secrets(c.layout.TokenNamespace)
	c.references = referenceStore{metadataClient}

	cluster := informers.NewSharedInformerFactory(client, 0)
	tokens := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(c.layout.TokenNamespace))
	namespaces, secrets := cluster.Core().V1().Namespaces(), tokens.Core().V1().Secrets()
	c.namespaces, c.stored = namespaces.Lister(), secrets.Lister().Secrets(c.layout.TokenNamespace)
	c.queue = newQueue()
	if err := c.watch(namespaces.Informer(), secrets.Informer()); err != nil {
		return err
	}
	cluster.StartWithContext(ctx)
	tokens.StartWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), namespaces.Informer().HasSynced, secrets.Informer().HasSynced) {
		return ctx.Err()
	}
	klog.FromContext(ctx).Info("Keeping tokens fresh", "tokenNamespace", c.layout.TokenNamespace)
	c.run(ctx, workers)
	return nil
}

func healthz(ready *atomic.Bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !ready.Load() {
			http.Error(w, "waiting for the CSI driver", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
}
