package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// FilesConfig configures a serving certificate that others keep in order,
// cert-manager or an admin.
type FilesConfig struct {
	// CertFile holds the certificate with its chain, KeyFile its key, both in PEM.
	CertFile, KeyFile string
	// CAFile holds the CAs, in PEM, that the webhook configurations shall trust.
	// If empty somebody else puts them there.
	CAFile string
	// Names are the DNS names and IP addresses that the API server calls.
	Names []string
	// WebhookConfiguration is the name of the mutating and of the validating
	// webhook configuration.
	WebhookConfiguration string
	// Registry takes the metrics.
	Registry prometheus.Registerer
}

// Files serves a certificate from files. They are read again when they change; a
// pair that does not fit, such as one half written, leaves the last good one in
// use.
type Files struct {
	cfg     FilesConfig
	client  client.Client
	metrics *metrics
	watcher *certwatcher.CertWatcher
	trusted atomic.Bool
	// known is what was served at the last look; for the one goroutine that looks.
	known *tls.Certificate
}

// NewFiles reads the files. The client must not cache. It needs the right to get
// both webhook configurations, and with a CAFile to patch them.
func NewFiles(api client.Client, cfg FilesConfig) (*Files, error) {
	switch {
	case cfg.CertFile == "" || cfg.KeyFile == "":
		return nil, errors.New("serving certificate: want both files, the certificate and the key")
	case len(cfg.Names) == 0:
		return nil, errNoNames
	case cfg.WebhookConfiguration == "":
		return nil, errNoConfiguration
	}
	watcher, err := certwatcher.New(cfg.CertFile, cfg.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("serving certificate: %w", err)
	}
	return &Files{cfg: cfg, client: api, metrics: newMetrics(cfg.Registry), watcher: watcher}, nil
}

// GetCertificate is for tls.Config.
func (f *Files) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return f.watcher.GetCertificate(hello) //nolint:wrapcheck // it never fails
}

// Ready returns nil if the webhook configurations trusted the serving certificate
// when they were last read, and as long as it lives.
func (f *Files) Ready(*http.Request) error {
	serving, err := f.watcher.GetCertificate(nil)
	if err != nil {
		return fmt.Errorf("serving certificate: %w", err)
	}
	return readiness(serving, &f.trusted, time.Now())
}

// Start reads the files when they change, and looks after the webhook
// configurations, until ctx ends.
func (f *Files) Start(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := f.watcher.Start(ctx); err != nil {
			return fmt.Errorf("watch the serving certificate: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		keep(ctx, checkInterval, f.metrics, f.look)
		return nil
	})
	return group.Wait()
}

// look reads the configurations, writes the CAs where they should be, and reports
// whether it did: then they should be read back.
func (f *Files) look(ctx context.Context) (wrote bool, err error) {
	serving, err := f.watcher.GetCertificate(nil)
	if err != nil {
		return false, fmt.Errorf("serving certificate: %w", err)
	}
	if serving != f.known {
		f.metrics.serving(serving.Leaf, f.known != nil)
		f.known = serving
	}
	configurations, err := readConfigurations(ctx, f.client, f.cfg.WebhookConfiguration)
	if err != nil {
		return false, err
	}
	_, all := trustedCertificates(configurations)
	problem := verify(serving, all, f.cfg.Names, time.Now())
	f.trusted.Store(problem == nil)
	f.metrics.injection(problem == nil)
	if f.cfg.CAFile == "" {
		if problem != nil {
			problem = fmt.Errorf("the webhook configurations do not trust what is served: %w", problem)
		}
		return false, problem
	}
	bundle, authorities, err := readBundle(f.cfg.CAFile)
	if err != nil {
		return false, err
	}
	// What would cut the API server off is not written.
	if err := verify(serving, authorities, f.cfg.Names, time.Now()); err != nil {
		return false, fmt.Errorf("%s does not go with the certificate: %w", f.cfg.CAFile, err)
	}
	return writeConfigurations(ctx, f.client, configurations, bundle)
}

// readBundle reads certificates in PEM.
func readBundle(path string) (bundle []byte, certificates []*x509.Certificate, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("CA bundle: %w", err)
	}
	certificates, _ = decodeCertificates(text)
	for _, c := range certificates {
		bundle = append(bundle, encodeCertificate(c, nil)...)
	}
	return bundle, certificates, nil
}
