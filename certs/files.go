package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
)

// Files serves a certificate that others keep in order, cert-manager or an admin.
type Files struct{ watcher *certwatcher.CertWatcher }

// NewFiles reads the certificate, with its chain, and its key, both in PEM. They
// are read again when they change; a pair that does not fit, such as one half
// written, leaves the last good one in use.
func NewFiles(certFile, keyFile string, registry prometheus.Registerer) (*Files, error) {
	if certFile == "" || keyFile == "" {
		return nil, errors.New("serving certificate: want both files, the certificate and the key")
	}
	watcher, err := certwatcher.New(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("serving certificate: %w", err)
	}
	m := newMetrics(registry)
	watcher.RegisterCallback(func(c tls.Certificate) { m.serving(c.Leaf) })
	return &Files{watcher}, nil
}

// GetCertificate is for tls.Config.
func (f *Files) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return f.watcher.GetCertificate(hello) //nolint:wrapcheck // it never fails
}

// Start reads the files when they change, until ctx ends.
func (f *Files) Start(ctx context.Context) error {
	if err := f.watcher.Start(ctx); err != nil {
		return fmt.Errorf("watch the serving certificate: %w", err)
	}
	return nil
}

// Ready returns nil while the certificate is valid.
func (f *Files) Ready(*http.Request) error {
	c, err := f.watcher.GetCertificate(nil)
	if err != nil {
		return fmt.Errorf("serving certificate: %w", err)
	}
	if expired(c.Leaf, time.Now()) {
		return errors.New("the serving certificate has expired")
	}
	return nil
}
