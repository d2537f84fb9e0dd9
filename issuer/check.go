package issuer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/bulkhead-dev/bulkhead/exchange"
)

// CheckConfig says which issuer to check, and how to get to it.
type CheckConfig struct {
	// IssuerURL is what compute clusters and storage nodes are told.
	IssuerURL string
	// Connect is host:port to connect to in place of the URL's, where that cannot
	// be reached from here; the certificate must still be for the URL's host. With
	// tcp:// before it, as Kubernetes tells Pods the address of a Service.
	Connect string
	// CAFiles are PEM files that verify the issuer beside the system's roots. Those
	// that are not there are left out.
	CAFiles []string
	// NoKeys lets the issuer publish none, where the storage cluster has the key
	// as a file.
	NoKeys bool
}

const checkTimeout = 30 * time.Second

// Check reads what a storage node reads of an issuer at its start: the discovery
// document, which must name the very URL, and the keys, of which there must be
// one. out gets a line for each.
func Check(ctx context.Context, cfg CheckConfig, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	client, err := cfg.client()
	if err != nil {
		return err
	}
	var document discoveryDocument
	if err := readPublic(ctx, client, cfg.IssuerURL+discoveryPath, &document); err != nil {
		return fmt.Errorf("discovery document: %w", err)
	}
	switch {
	case document.Issuer != cfg.IssuerURL:
		return fmt.Errorf("discovery document: it is that of %q, want %q", document.Issuer, cfg.IssuerURL)
	case document.JWKSURI != cfg.IssuerURL+exchange.JWKSPath:
		return fmt.Errorf("discovery document: the keys are said to be at %q", document.JWKSURI)
	}
	if _, err := fmt.Fprintln(out, "discovery document: issuer", document.Issuer); err != nil {
		return err //nolint:wrapcheck // there is nothing to add
	}
	var keys struct {
		Keys []struct {
			ID        string `json:"kid"`
			Algorithm string `json:"alg"`
		} `json:"keys"`
	}
	if err := readPublic(ctx, client, document.JWKSURI, &keys); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	if len(keys.Keys) == 0 && !cfg.NoKeys {
		return errors.New("keys: none are published")
	}
	for _, key := range keys.Keys {
		if _, err := fmt.Fprintln(out, "key", key.ID, key.Algorithm); err != nil {
			return err //nolint:wrapcheck // there is nothing to add
		}
	}
	return nil
}

func (cfg *CheckConfig) client() (*http.Client, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("the system's roots: %w", err)
	}
	for _, file := range cfg.CAFiles {
		pem, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("CA: %w", err)
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("CA: no certificate in %s", file)
		}
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}
	if address := strings.TrimPrefix(cfg.Connect, "tcp://"); address != "" {
		transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		}
	}
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, nil
}

// maxPublic bounds what is read of a public document, in bytes.
const maxPublic = 1 << 20

func readPublic(ctx context.Context, client *http.Client, url string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("get it: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("get it: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: HTTP %d", url, resp.StatusCode)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxPublic)).Decode(into); err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	return nil
}
