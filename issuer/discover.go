package issuer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// discoveryTimeout bounds one read of a cluster's keys.
	discoveryTimeout = 5 * time.Second
	// maxDocument bounds what is read of one document, in bytes.
	maxDocument = 1 << 20
	// keysFreshFor is how long discovered keys are used without asking again: a
	// key that the cluster removed is believed no longer than that.
	keysFreshFor = 5 * time.Minute
	// keysRetry is how long to wait before asking again for an unknown key, so
	// that forged key ids cause no storm of requests.
	keysRetry = 10 * time.Second
)

// checkDiscoveryURL refuses what cannot be a public ServiceAccount issuer. A
// name that means another thing to each cluster, such as kubeadm's default,
// would make every cluster the same one.
func checkDiscoveryURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("want https://host[:port][/path]")
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	switch {
	case net.ParseIP(host) != nil:
		return errors.New("an IP address is no public issuer: use a name that a certificate vouches for, or jwks")
	case !strings.Contains(host, "."), host == "localhost",
		strings.HasSuffix(host, ".svc"), strings.HasSuffix(host, ".cluster.local"),
		strings.HasSuffix(host, ".local"), strings.HasSuffix(host, ".localhost"), strings.HasSuffix(host, ".internal"):
		return fmt.Errorf("%s is local to a cluster or machine, so it cannot tell clusters apart: use jwks", host)
	}
	return nil
}

// discoverer reads the keys of clusters whose ServiceAccount issuer is public
// (OpenID Connect Discovery 1.0), and remembers them.
type discoverer struct {
	client *http.Client
	now    func() time.Time

	mu   sync.Mutex
	sets map[string]*discovered
}

// discovered are the keys of one issuer URL. Its lock is held while they are
// read, so that a burst of requests reads them once.
type discovered struct {
	mu        sync.Mutex
	keys      jose.JSONWebKeySet
	read      time.Time // when they were read
	attempted time.Time // when that was last tried
}

func newDiscoverer(client *http.Client, now func() time.Time) *discoverer {
	return &discoverer{client: client, now: now, sets: map[string]*discovered{}}
}

// keys returns the key of that id that the issuer URL publishes now, none if
// there is none or the issuer does not answer.
func (d *discoverer) keys(ctx context.Context, issuerURL, keyID string) []jose.JSONWebKey {
	d.mu.Lock()
	set := d.sets[issuerURL]
	if set == nil {
		set = &discovered{}
		d.sets[issuerURL] = set
	}
	d.mu.Unlock()

	set.mu.Lock()
	defer set.mu.Unlock()
	now := d.now()
	known := set.keys.Key(keyID)
	fresh := now.Sub(set.read) < keysFreshFor
	if fresh && len(known) > 0 {
		return known
	}
	if now.Sub(set.attempted) < keysRetry {
		if fresh {
			return known
		}
		return nil
	}
	set.attempted = now
	keys, err := d.fetch(ctx, issuerURL)
	if err != nil {
		if fresh {
			return known
		}
		return nil
	}
	set.keys, set.read = keys, now
	return keys.Key(keyID)
}

func (d *discoverer) fetch(ctx context.Context, issuerURL string) (jose.JSONWebKeySet, error) {
	ctx, cancel := context.WithTimeout(ctx, discoveryTimeout)
	defer cancel()
	var document struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := d.get(ctx, strings.TrimSuffix(issuerURL, "/")+discoveryPath, &document); err != nil {
		return jose.JSONWebKeySet{}, err
	}
	if document.Issuer != issuerURL {
		return jose.JSONWebKeySet{}, fmt.Errorf("%s calls itself another issuer", issuerURL)
	}
	if u, err := url.Parse(document.JWKSURI); err != nil || u.Scheme != "https" {
		return jose.JSONWebKeySet{}, fmt.Errorf("%s: jwks_uri is not https", issuerURL)
	}
	var keys jose.JSONWebKeySet
	if err := d.get(ctx, document.JWKSURI, &keys); err != nil {
		return jose.JSONWebKeySet{}, err
	}
	for _, key := range keys.Keys {
		if err := checkPublicKey(key); err != nil {
			return jose.JSONWebKeySet{}, fmt.Errorf("%s: %w", issuerURL, err)
		}
	}
	return keys, nil
}

func (d *discoverer) get(ctx context.Context, address string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return fmt.Errorf("read %s: %w", address, err)
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return fmt.Errorf("read %s: %w", address, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("read %s: HTTP %d", address, resp.StatusCode)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxDocument)).Decode(into); err != nil {
		return fmt.Errorf("read %s: not the JSON that was expected", address)
	}
	return nil
}
