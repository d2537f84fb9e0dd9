// Package issuer is the server on the storage side that holds the signing key.
// It exchanges the credential of a compute cluster's ServiceAccount for a token
// that the storage cluster accepts, by a policy that the storage admin writes,
// and publishes the public keys. It keeps no state and needs no Kubernetes API.
package issuer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"

	"github.com/bulkhead-dev/bulkhead/exchange"
	"github.com/bulkhead-dev/bulkhead/internal/httpserver"
)

// DefaultBackdate is how far `iat` lies in the past: the storage cluster gives
// no leeway to tokens from the future.
const DefaultBackdate = time.Minute

// Config configures the issuer.
type Config struct {
	// Address to serve tokens and keys on, host:port.
	Address string
	// HTTPEndpoint to serve /metrics, /healthz and /readyz on, host:port;
	// empty for none.
	HTTPEndpoint string
	// IssuerURL is the `iss` claim and the audience that credentials must be
	// made out to: https, without a trailing slash.
	IssuerURL string
	// TLSCertFile and TLSKeyFile are PEM, read again when they change.
	TLSCertFile, TLSKeyFile string
	// SigningKeyFile is a P-256 private key in PEM.
	SigningKeyFile string
	// PolicyFile is YAML, read again when it changes.
	PolicyFile string
	// Backdate is how far `iat` lies in the past.
	Backdate time.Duration
}

func (c *Config) validate() error {
	u, err := url.Parse(c.IssuerURL)
	switch {
	case err != nil:
		return fmt.Errorf("issuer URL: %w", err)
	case u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || c.IssuerURL[len(c.IssuerURL)-1] == '/':
		return fmt.Errorf("issuer URL %q: want https://host[:port][/path] without a trailing slash", c.IssuerURL)
	case c.TLSCertFile == "" || c.TLSKeyFile == "":
		return errors.New("no TLS certificate: tokens must not cross the network in the clear")
	case c.SigningKeyFile == "":
		return errors.New("no signing key file")
	case c.PolicyFile == "":
		return errors.New("no policy file")
	case c.Backdate < 0 || c.Backdate > time.Hour:
		return fmt.Errorf("backdate %v: want 0 to 1h", c.Backdate)
	}
	return nil
}

// Run serves until ctx ends. It fails at once on a bad configuration.
func Run(ctx context.Context, cfg Config) error {
	if err := cfg.validate(); err != nil {
		return err
	}
	key, err := loadSigningKey(cfg.SigningKeyFile)
	if err != nil {
		return err
	}
	m := newMetrics()
	policy, err := openPolicy(cfg.PolicyFile, m)
	if err != nil {
		return err
	}
	certificate, err := certwatcher.New(cfg.TLSCertFile, cfg.TLSKeyFile)
	if err != nil {
		return fmt.Errorf("TLS certificate: %w", err)
	}
	public, err := publicHandler(cfg, key, policy, m)
	if err != nil {
		return err
	}

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return certificate.Start(ctx) })
	group.Go(func() error { policy.follow(ctx); return nil })
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certificate.GetCertificate}
	wait, err := httpserver.Start(ctx, cfg.Address, public, tlsConfig)
	if err != nil {
		return err
	}
	group.Go(wait)
	if cfg.HTTPEndpoint != "" {
		wait, err := httpserver.Start(ctx, cfg.HTTPEndpoint, operatorHandler(m), nil)
		if err != nil {
			return err
		}
		group.Go(wait)
	}
	klog.FromContext(ctx).Info("Serving", "address", cfg.Address, "issuer", cfg.IssuerURL,
		"key", key.id, "clusters", len(policy.current.Load().Clusters))
	return group.Wait()
}

func publicHandler(cfg Config, key *signingKey, policy *policyFile, m *metrics) (http.Handler, error) {
	keys, err := publicDocument(key.jwks())
	if err != nil {
		return nil, err
	}
	document, err := publicDocument(discovery(cfg.IssuerURL))
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(cfg.IssuerURL)
	if err != nil {
		return nil, fmt.Errorf("issuer URL: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET "+u.Path+jwksPath, keys)
	mux.Handle("GET "+u.Path+discoveryPath, document)
	mux.Handle("POST "+u.Path+exchange.TokenPath, &exchangeHandler{
		issuerURL: cfg.IssuerURL, backdate: cfg.Backdate, key: key,
		policy: policy.current.Load, now: time.Now, metrics: m,
	})
	return mux, nil
}

func operatorHandler(m *metrics) http.Handler {
	mux := http.NewServeMux()
	ok := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) }
	mux.HandleFunc("GET /healthz", ok)
	// Ready as soon as it serves: key, policy and certificate were read before.
	mux.HandleFunc("GET /readyz", ok)
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	return mux
}
