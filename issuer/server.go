// Package issuer is the server on the storage side that holds the signing keys.
// It exchanges the credential of a compute cluster's ServiceAccount for a token
// that the storage cluster accepts, by a policy that the storage admin writes,
// and publishes the public keys. It keeps no state and needs no Kubernetes API.
package issuer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"

	"github.com/bulkhead-dev/bulkhead/exchange"
	"github.com/bulkhead-dev/bulkhead/internal/httpserver"
	"github.com/bulkhead-dev/bulkhead/storage"
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
	// IssuerURL is where clients reach the issuer and the audience that their
	// credentials must be made out to: https, without a trailing slash.
	IssuerURL string
	// TokenIssuer is the `iss` claim: IssuerURL if empty. The self-signed modes
	// of the storage cluster want its jwt_issuer here.
	TokenIssuer string
	// TLSCertFile and TLSKeyFile are PEM, read again when they change.
	TLSCertFile, TLSKeyFile string
	// KeysDir holds the signing keys, read again when they change.
	KeysDir string
	// PolicyFile is YAML, read again when it changes.
	PolicyFile string
	// Backdate is how far `iat` lies in the past.
	Backdate time.Duration
	// AuditLog is the file that audit lines are appended to, "-" for standard
	// output.
	AuditLog string
	// StorageEndpoints are the SDK endpoints of the storage nodes, each of which
	// is made to read the keys again when a new key starts to sign.
	StorageEndpoints []storage.Endpoint
	// DiscoverPrivate lets discovery reach private addresses.
	DiscoverPrivate bool
	// Bootstrap, if not nil, sets up the storage cluster once it answers.
	Bootstrap *Setup
	// Now is the clock of tokens, keys and credentials; time.Now if nil.
	Now func() time.Time
}

func (c *Config) validate() error {
	u, err := url.Parse(c.IssuerURL)
	switch {
	case err != nil:
		return fmt.Errorf("issuer URL: %w", err)
	case u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || c.IssuerURL[len(c.IssuerURL)-1] == '/':
		return fmt.Errorf("issuer URL %q: want https://host[:port][/path] without a trailing slash", c.IssuerURL)
	case c.KeysDir == "":
		return errors.New("no folder of signing keys")
	case c.PolicyFile == "":
		return errors.New("no policy file")
	case strings.ContainsAny(u.Path, "{} "):
		return fmt.Errorf("issuer URL %q: the path has characters that it must not", c.IssuerURL)
	case c.Bootstrap != nil && c.Bootstrap.AdminTokenFile == "":
		return errors.New("turning guest access off at start needs the token of a storage admin: --bootstrap-admin-token-file")
	case c.Bootstrap != nil && len(c.StorageEndpoints) == 0:
		return errors.New("setting up the storage cluster at start needs an SDK address")
	case c.Backdate < 0 || c.Backdate > time.Hour:
		return fmt.Errorf("backdate %v: want 0 to 1h", c.Backdate)
	}
	if c.TokenIssuer == "" {
		c.TokenIssuer = c.IssuerURL
	}
	return nil
}

// server is a running issuer.
type server struct {
	cfg       Config
	metrics   *metrics
	audit     *auditLog
	keys      reloaded[keyRing]
	policy    reloaded[Policy]
	discover  *discoverer
	minter    *minter
	inForce   atomic.Pointer[authenticator]
	endpoints []*storage.Client
	now       func() time.Time
}

// Run serves until ctx ends. It fails at once on a bad configuration.
func Run(ctx context.Context, cfg Config) error {
	if err := cfg.validate(); err != nil {
		return err
	}
	if cfg.TLSCertFile == "" || cfg.TLSKeyFile == "" {
		return errors.New("no TLS certificate: tokens must not cross the network in the clear")
	}
	audit, closeAudit, err := openAudit(cfg.AuditLog)
	if err != nil {
		return err
	}
	defer closeAudit()
	s, err := newServer(ctx, cfg, audit)
	if err != nil {
		return err
	}
	certificate, err := certwatcher.New(cfg.TLSCertFile, cfg.TLSKeyFile)
	if err != nil {
		return fmt.Errorf("TLS certificate: %w", err)
	}
	public, err := s.publicHandler()
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return certificate.Start(ctx) })
	group.Go(func() error { s.follow(ctx); return nil })
	for i, endpoint := range s.endpoints {
		group.Go(func() error { s.announceKeys(ctx, endpoint, cfg.StorageEndpoints[i].Address); return nil })
	}
	if cfg.Bootstrap != nil {
		group.Go(func() error { s.bootstrap(ctx); return nil })
	}
	listen := func(address string, handler http.Handler, tlsConfig *tls.Config) error {
		wait, err := httpserver.Start(ctx, address, handler, tlsConfig)
		if err == nil {
			group.Go(wait)
		}
		return err
	}
	if err := listen(cfg.Address, public, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certificate.GetCertificate}); err != nil {
		return err
	}
	if cfg.HTTPEndpoint != "" {
		if err := listen(cfg.HTTPEndpoint, s.operatorHandler(), nil); err != nil {
			return err
		}
	}
	klog.FromContext(ctx).Info("Serving", "address", cfg.Address, "issuer", cfg.TokenIssuer,
		"clusters", len(s.policy.current.Load().Clusters))
	return group.Wait()
}

// Handler is what Run serves on Address, without a network: the caller's own process
// is where it is asked. It follows keys and policy until ctx ends, and needs no TLS
// certificate. Audit lines go to a writer.
func Handler(ctx context.Context, cfg Config, audit io.Writer) (http.Handler, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s, err := newServer(ctx, cfg, audit)
	if err != nil {
		return nil, err
	}
	go s.follow(ctx)
	return s.publicHandler()
}

// follow takes over new keys and policies until ctx ends.
func (s *server) follow(ctx context.Context) {
	var group sync.WaitGroup
	group.Go(func() { s.policy.follow(ctx) })
	group.Go(func() { s.keys.follow(ctx) })
	group.Wait()
}

// newServer reads keys and policy for the first time.
func newServer(ctx context.Context, cfg Config, audit io.Writer) (*server, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &server{cfg: cfg, metrics: newMetrics(), audit: newAuditLog(audit), now: cfg.Now}
	s.discover = newDiscoverer(discoveryClient(cfg.DiscoverPrivate), s.now)
	s.keys = reloaded[keyRing]{
		what: "signing keys", read: DirStore(cfg.KeysDir).Load, parse: parseKeys,
		changed: func(ring *keyRing, err error) {
			s.metrics.keysLoaded.Set(loaded(err))
			if err == nil {
				warnOfSharedSecrets(ctx, ring)
			}
		},
	}
	s.policy = reloaded[Policy]{
		what: "policy", read: func(context.Context) (map[string][]byte, error) { return readFile(cfg.PolicyFile) },
		parse: func(files map[string][]byte) (*Policy, error) {
			p, err := ParsePolicy(files[cfg.PolicyFile])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", filepath.Base(cfg.PolicyFile), err)
			}
			return p, nil
		},
		changed: func(p *Policy, err error) {
			s.metrics.policyLoaded.Set(loaded(err))
			if err == nil {
				s.inForce.Store(newAuthenticator(p, cfg.IssuerURL, s.discover, s.now))
				s.metrics.policyChanged(p)
			}
		},
	}
	if err := errors.Join(s.keys.load(ctx), s.policy.load(ctx)); err != nil {
		return nil, err
	}
	s.minter = &minter{issuer: cfg.TokenIssuer, backdate: cfg.Backdate, keys: s.keys.current.Load, now: s.now}
	s.metrics.watchKeys(s.keys.current.Load, s.now)
	for _, endpoint := range cfg.StorageEndpoints {
		client, err := storage.Dial(endpoint)
		if err != nil {
			return nil, err
		}
		s.endpoints = append(s.endpoints, client)
	}
	return s, nil
}

// staleKeys is how long a replica counts as ready while its key folder is bad:
// by then it may sign with a key that was revoked.
const staleKeys = time.Minute

// ready reports whether what this replica would mint is what the folder says.
func (s *server) ready() error {
	if since := s.keys.badSince.Load(); since != nil && s.now().Sub(*since) > staleKeys {
		return errors.New("the key folder has been bad for a while: see the log")
	}
	return nil
}

func (s *server) publicHandler() (http.Handler, error) {
	u, err := url.Parse(s.cfg.IssuerURL)
	if err != nil {
		return nil, fmt.Errorf("issuer URL: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+u.Path+discoveryPath, func(w http.ResponseWriter, _ *http.Request) {
		writePublic(w, discovery(s.cfg.IssuerURL))
	})
	mux.HandleFunc("GET "+u.Path+exchange.JWKSPath, func(w http.ResponseWriter, _ *http.Request) {
		writePublic(w, s.keys.current.Load().published(s.now()))
	})
	mux.Handle("POST "+u.Path+exchange.TokenPath, &exchangeHandler{
		minter: s.minter, authenticator: s.inForce.Load, now: s.now, metrics: s.metrics, audit: s.audit,
	})
	return mux, nil
}

func (s *server) operatorHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := s.ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok\n")
	})
	mux.Handle("GET /metrics", s.metrics.handler())
	return mux
}

func warnOfSharedSecrets(ctx context.Context, ring *keyRing) {
	for _, k := range ring.keys {
		if k.shared() {
			klog.FromContext(ctx).Info("WARNING: a key is a shared secret: whoever holds it, the storage cluster's nodes and any compute cluster it was copied to, "+
				"can sign tokens for every tenant; it isolates namespaces, not clusters", "key", k.name)
		}
	}
}

func readFile(path string) (map[string][]byte, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	return map[string][]byte{path: raw}, nil
}

func openAudit(path string) (out io.Writer, closeAudit func(), err error) {
	if path == "" || path == "-" {
		return os.Stdout, func() {}, nil
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("audit log: %w", err)
	}
	return file, func() { _ = file.Close() }, nil
}
