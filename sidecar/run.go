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
	"github.com/kubernetes-csi/csi-lib-utils/leaderelection"
	csimetrics "github.com/kubernetes-csi/csi-lib-utils/metrics"
	"github.com/kubernetes-csi/csi-lib-utils/standardflags"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/klog/v2"

	"github.com/bulkhead-dev/bulkhead/exchange"
	"github.com/bulkhead-dev/bulkhead/internal/httpserver"
	"github.com/bulkhead-dev/bulkhead/storage"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// Config configures the sidecar.
type Config struct {
	// Standard are the flags that every CSI sidecar has. Without a CSI address
	// the driver is not looked for; DriverName then names it.
	Standard   standardflags.SidecarConfiguration
	DriverName string
	// Issuer says where tokens come from.
	Issuer exchange.Config
	// Layout says where tokens go.
	Layout tenancy.Layout
	// Proof is OverCSI, or OverSDK, which needs SDK.
	Proof Proof
	SDK   storage.Endpoint
	// NamespaceSelector is a label selector of the namespaces that get tokens;
	// all if empty. Exempt are names of namespaces that get none.
	NamespaceSelector string
	Exempt            []string
	// Lazy gives a token only to namespaces that have or ask for a claim of the
	// driver's classes.
	Lazy bool
	// RetireTimeout bounds how long a namespace may be kept from going, in
	// placement `tenant`.
	RetireTimeout time.Duration
	// Workers is how many refreshes, and how many first tokens, are worked on
	// at once.
	Workers int
	// Now is the clock by which tokens and the credential are judged; time.Now if
	// nil.
	Now func() time.Time
}

func (c *Config) validate() error {
	switch {
	case c.Proof != OverCSI && c.Proof != OverSDK:
		return fmt.Errorf("proof %q: want %s or %s", c.Proof, OverCSI, OverSDK)
	case c.Proof == OverCSI && c.Standard.CSIAddress == "":
		return errors.New("no CSI address: want the path of the driver's socket, or --proof=sdk")
	case c.Proof == OverSDK && c.SDK.Address == "":
		return errors.New("no SDK address: want host:port of the storage cluster's SDK to prove tokens over")
	case c.Standard.CSIAddress == "" && c.DriverName == "":
		return errors.New("neither a CSI address nor a driver name: want one, to know whose volumes are ours")
	case c.Standard.HttpEndpoint != "" && c.Standard.MetricsAddress != "":
		return errors.New("--http-endpoint and the deprecated --metrics-address are set: want one")
	case c.RetireTimeout <= 0:
		return fmt.Errorf("retire timeout %v: want a time above zero", c.RetireTimeout)
	case c.Workers < 1 || c.Workers > 1000:
		return fmt.Errorf("workers %d: want 1 to 1000", c.Workers)
	}
	if _, err := labels.Parse(c.NamespaceSelector); err != nil {
		return fmt.Errorf("namespace selector: %w", err)
	}
	return c.Layout.Validate()
}

// Run keeps tokens fresh until ctx ends. It fails at once on a bad
// configuration, and waits for a driver that is not there yet.
func Run(ctx context.Context, cfg Config) error {
	if err := cfg.validate(); err != nil {
		return err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.Issuer.Now = cfg.Now
	issuer, err := exchange.NewClient(cfg.Issuer)
	if err != nil {
		return err
	}
	config, err := csiconfig.BuildConfig(cfg.Standard.KubeConfig, cfg.Standard)
	if err != nil {
		return fmt.Errorf("kubeconfig: %w", err)
	}
	// The API server would compress each event of a watch apart, which costs it more
	// than to send it.
	config.DisableCompression = true
	registry := prometheus.NewRegistry()
	csiMetrics := csimetrics.NewCSIMetricsManagerForSidecar("").WithAdditionalRegistry(registry)
	mux := http.NewServeMux()
	var ready atomic.Bool
	if endpoint := cfg.Standard.HttpEndpoint + cfg.Standard.MetricsAddress; endpoint != "" {
		csiMetrics.RegisterToServer(mux, cfg.Standard.MetricsPath)
		mux.Handle("GET /healthz", healthz(&ready))
		wait, err := httpserver.Start(ctx, endpoint, mux, nil)
		if err != nil {
			return fmt.Errorf("http endpoint: %w", err)
		}
		go func() {
			if err := wait(); err != nil {
				klog.FromContext(ctx).Error(err, "The http endpoint stopped")
			}
		}()
	}

	driver, err := connect(ctx, &cfg, csiMetrics)
	if err != nil {
		return err
	}
	defer func() { _ = driver.close() }()
	csiMetrics.SetDriverName(driver.name)
	klog.FromContext(ctx).Info("The driver is ready", "driver", driver.name, "address", cfg.Standard.CSIAddress, "proof", cfg.Proof)
	ready.Store(true)

	l := &leader{cfg: cfg, driver: driver, issuer: issuer, kubernetes: config, registry: registry}
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	leaderelection.RunWithLeaderElection(ctx, config, cfg.Standard, func(leading context.Context) {
		// A leader that cannot work must not keep the lease.
		if err := l.lead(leading); err != nil && leading.Err() == nil {
			// Logged here, since the library ends the process with the lease.
			klog.FromContext(ctx).Error(err, "Giving up the lease")
			giveUp(err)
		}
	}, LeasePrefix+driver.name, mux, true)
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return fmt.Errorf("gave up the lease: %w", cause)
	}
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
