package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/bulkhead-dev/bulkhead/exchange"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// maxAsk bounds a request for a token, in bytes, as the issuer does.
const maxAsk = 32 << 10

// Front stands between the issuer and all its clients, as a load balancer or a
// mesh does, and can fail as those do. What is not about a token always passes.
type Front struct {
	address   string // host:port
	tls       *tls.Config
	issuer    *url.URL
	transport *http.Transport
	// gone ends what hangs.
	gone context.Context //nolint:containedctx // it is the life of the front, not of a call
	end  context.CancelFunc

	mu     sync.Mutex
	choose func(Ask) Fault
	asks   []Ask
	server *http.Server // nil while connections are refused
}

// Ask is a request for a token, as the front sees it.
type Ask struct {
	When time.Time
	// Account is the ServiceAccount, namespace/name, that the credential names, and
	// KeyID that of the key that signed it: compute clusters have the same names
	// for the former, never the same key.
	Account, KeyID string
	// Tenant is whom the token is to be for, zero if that cannot be read.
	Tenant tenancy.Tenant
	// Spoilt is whether the front did not just let it pass.
	Spoilt bool
}

// Fault spoils one request for a token. It answers the client, with the front's
// help to reach the issuer. A nil one lets the request pass.
type Fault func(f *Front, w http.ResponseWriter, r *http.Request, form url.Values)

// Hang never answers; the client gives up first.
func Hang() Fault {
	return func(f *Front, _ http.ResponseWriter, r *http.Request, _ url.Values) {
		select {
		case <-r.Context().Done():
		case <-f.gone.Done():
		}
	}
}

// Answer answers in the issuer's stead, with a body that is none of the issuer's
// and, if it is above zero, the header Retry-After.
func Answer(status int, retryAfter time.Duration) Fault {
	return func(_ *Front, w http.ResponseWriter, _ *http.Request, _ url.Values) {
		if retryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter.Seconds())))
		}
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "<html><body>upstream trouble</body></html>")
	}
}

// Deny refuses in the issuer's words, as its policy does.
func Deny(code string) Fault {
	return func(_ *Front, w http.ResponseWriter, _ *http.Request, _ url.Values) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(exchange.ErrorResponse{Code: code, Description: "not by this policy"})
	}
}

// Hold lets the request pass when release is closed, and calls answered once the
// answer is on its way.
func Hold(release <-chan struct{}, answered func()) Fault {
	return func(f *Front, w http.ResponseWriter, r *http.Request, form url.Values) {
		defer answered()
		select {
		case <-release:
			f.forward(w, r, form)
			_ = http.NewResponseController(w).Flush()
		case <-f.gone.Done():
		}
	}
}

// ForTenant makes the issuer grant a good token, but of another tenant.
func ForTenant(other tenancy.Tenant) Fault {
	return changed(func(form url.Values) { form.Set("scope", exchange.Scope(other)) })
}

// Shorter makes the issuer grant a token of a shorter life than asked for.
func Shorter(life time.Duration) Fault {
	return changed(func(form url.Values) { form.Set("requested_life", strconv.Itoa(int(life.Seconds()))) })
}

func changed(change func(url.Values)) Fault {
	return func(f *Front, w http.ResponseWriter, r *http.Request, form url.Values) {
		change(form)
		f.forward(w, r, form)
	}
}

// newFront makes a front at an address for the issuer at another one; both show
// certificates of the same CA.
func newFront(ca *authority, address, issuer string) (*Front, error) {
	certPEM, keyPEM, err := ca.server()
	if err != nil {
		return nil, err
	}
	certificate, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("issuer's front: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.certificate)
	f := &Front{
		address:   address,
		tls:       &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
		issuer:    &url.URL{Scheme: "https", Host: issuer},
		transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}},
	}
	f.gone, f.end = context.WithCancel(context.Background())
	return f, f.Open()
}

// Behave says what becomes of each request for a token from now on; nil lets all
// pass. The function may be called by several goroutines.
func (f *Front) Behave(choose func(Ask) Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.choose = choose
}

// Asks are the requests for tokens since a time, in the order in which they came.
func (f *Front) Asks(since time.Time) []Ask {
	f.mu.Lock()
	defer f.mu.Unlock()
	first, _ := slices.BinarySearchFunc(f.asks, since, func(a Ask, t time.Time) int { return a.When.Compare(t) })
	return slices.Clone(f.asks[first:])
}

// Open takes connections, again after Refuse, at the same address.
func (f *Front) Open() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.server != nil {
		return nil
	}
	listener, err := net.Listen("tcp", f.address) //nolint:noctx // it does not block
	if err != nil {
		return fmt.Errorf("issuer's front: %w", err)
	}
	f.server = &http.Server{
		Handler: http.HandlerFunc(f.serve), TLSConfig: f.tls,
		ReadHeaderTimeout: pollTimeout,
		// What goes wrong here is wanted.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	server := f.server
	go func() { _ = server.ServeTLS(listener, "", "") }()
	return nil
}

// Refuse closes all connections and refuses new ones, until Open.
func (f *Front) Refuse() {
	f.mu.Lock()
	server := f.server
	f.server = nil
	f.mu.Unlock()
	if server != nil {
		_ = server.Close()
	}
}

func (f *Front) close() {
	f.end()
	f.Refuse()
	f.transport.CloseIdleConnections()
}

func (f *Front) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.URL.Path != exchange.TokenPath {
		f.forward(w, r, nil)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxAsk)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "not a form", http.StatusBadRequest)
		return
	}
	if fault := f.note(r.PostForm); fault != nil {
		fault(f, w, r, r.PostForm)
		return
	}
	f.forward(w, r, r.PostForm)
}

// note records a request and says what becomes of it.
func (f *Front) note(form url.Values) Fault {
	var ask Ask
	ask.Account, ask.KeyID = readCredential(form.Get("subject_token"))
	ask.Tenant, _ = exchange.ParseScope(form.Get("scope"))
	f.mu.Lock()
	defer f.mu.Unlock()
	ask.When = time.Now()
	var fault Fault
	if f.choose != nil {
		fault = f.choose(ask)
	}
	ask.Spoilt = fault != nil
	f.asks = append(f.asks, ask)
	return fault
}

// forward passes a request on to the issuer, with another form if that is not
// nil.
func (f *Front) forward(w http.ResponseWriter, r *http.Request, form url.Values) {
	proxy := &httputil.ReverseProxy{
		Transport: f.transport,
		ErrorLog:  log.New(io.Discard, "", 0),
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(f.issuer)
			if form != nil {
				body := form.Encode()
				p.Out.Body, p.Out.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
			}
		},
	}
	proxy.ServeHTTP(w, r)
}

// readCredential reads the ServiceAccount and the id of the key out of a
// credential, unverified: that is the issuer's to do.
func readCredential(credential string) (account, keyID string) {
	var claims jwt.RegisteredClaims
	token, _, err := jwt.NewParser().ParseUnverified(credential, &claims)
	if err != nil {
		return "", ""
	}
	account, _ = strings.CutPrefix(claims.Subject, "system:serviceaccount:")
	keyID, _ = token.Header["kid"].(string)
	return strings.Replace(account, ":", "/", 1), keyID
}

// AccountKeyID is the id of the key that signs the cluster's ServiceAccount
// tokens.
func (c *Compute) AccountKeyID() (string, error) {
	token, err := os.ReadFile(c.dir.path(fmt.Sprintf("token-%s-%s-api", releaseNamespace, sidecarName)))
	if err != nil {
		return "", fmt.Errorf("ServiceAccount key of %s: %w", c.Name, err)
	}
	_, keyID := readCredential(string(token))
	return keyID, nil
}

// startFront puts a front where the issuer of s is to be found.
func (s *Storage) startFront(ca *authority, issuer string) error {
	u, err := url.Parse(s.IssuerURL)
	if err != nil {
		return fmt.Errorf("issuer's front: %w", err)
	}
	if s.Front != nil {
		return errors.New("issuer's front: there is one already")
	}
	s.Front, err = newFront(ca, u.Host, issuer)
	return err
}
