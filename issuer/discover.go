package issuer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"
	"k8s.io/apimachinery/pkg/util/validation"
)

const (
	// discoveryTimeout bounds one read of a cluster's keys.
	discoveryTimeout = 5 * time.Second
	// maxDocument bounds what is read of one document, in bytes.
	maxDocument = 64 << 10
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
	host := strings.ToLower(u.Hostname())
	labels := strings.Split(host, ".")
	last := labels[len(labels)-1]
	switch {
	case len(validation.IsDNS1123Subdomain(host)) > 0, strings.Trim(last, "0123456789") == "":
		return fmt.Errorf("%q is no DNS name: use one that a certificate vouches for, or jwks", host)
	case len(labels) == 1, slices.Contains(labels, "svc"), strings.HasPrefix(host, "kubernetes.default"),
		slices.Contains([]string{"local", "localhost", "localdomain", "internal"}, last):
		return fmt.Errorf("%s is local to a cluster or machine, so it cannot tell clusters apart: use jwks", host)
	}
	return nil
}

// discoveryClient reads from where the policy says and nowhere else: it follows
// no redirect, uses no proxy, and unless private is set reaches no address that
// is not public.
func discoveryClient(private bool) *http.Client {
	dialer := &net.Dialer{Timeout: discoveryTimeout}
	if !private {
		dialer.Control = func(_, address string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("dial %s: %w", address, err)
			}
			if ip := at.Addr().Unmap(); !ip.IsGlobalUnicast() || ip.IsPrivate() {
				return fmt.Errorf("dial %s: not a public address; --discover-private allows it", address)
			}
			return nil
		}
	}
	return &http.Client{
		Timeout:       discoveryTimeout,
		Transport:     &http.Transport{DialContext: dialer.DialContext, ForceAttemptHTTP2: true, TLSHandshakeTimeout: discoveryTimeout},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// discoverer reads the keys of clusters whose ServiceAccount issuer is public
// (OpenID Connect Discovery 1.0), and remembers them.
type discoverer struct {
	client *http.Client
	now    func() time.Time
	flight singleflight.Group // by issuer URL

	mu   sync.Mutex
	sets map[string]discovered
}

// discovered are the keys of one issuer URL.
type discovered struct {
	keys      jose.JSONWebKeySet
	read      time.Time // when they were read
	attempted time.Time // when that was last tried
	err       error     // what came of it
}

func newDiscoverer(client *http.Client, now func() time.Time) *discoverer {
	return &discoverer{client: client, now: now, sets: map[string]discovered{}}
}

// keys returns the key of that id that the issuer URL publishes, none if there
// is none. The error says that this is not known now.
func (d *discoverer) keys(ctx context.Context, issuerURL, keyID string) ([]jose.JSONWebKey, error) {
	set := d.known(issuerURL)
	if d.fresh(set) && len(set.keys.Key(keyID)) > 0 {
		return set.keys.Key(keyID), nil
	}
	// Read once for all who wait, and to the end even if they leave: a caller
	// that hangs up must not keep the keys from others.
	reading := d.flight.DoChan(issuerURL, func() (any, error) {
		d.refresh(context.WithoutCancel(ctx), issuerURL)
		return nil, nil //nolint:nilnil // the result is in the set
	})
	select {
	case <-reading:
	case <-ctx.Done():
		return nil, fmt.Errorf("keys of %s: %w", issuerURL, ctx.Err())
	}
	if set = d.known(issuerURL); d.fresh(set) {
		return set.keys.Key(keyID), nil
	}
	return nil, set.err
}

func (d *discoverer) known(issuerURL string) discovered {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sets[issuerURL]
}

func (d *discoverer) fresh(set discovered) bool { return d.now().Sub(set.read) < keysFreshFor }

// refresh reads the keys again, unless that was tried a moment ago.
func (d *discoverer) refresh(ctx context.Context, issuerURL string) {
	set := d.known(issuerURL)
	if d.now().Sub(set.attempted) < keysRetry {
		return
	}
	keys, err := d.fetch(ctx, issuerURL)
	set.attempted, set.err = d.now(), err
	if err == nil {
		set.keys, set.read = keys, set.attempted
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sets[issuerURL] = set
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
	if err := checkDiscoveryURL(document.JWKSURI); err != nil {
		return jose.JSONWebKeySet{}, fmt.Errorf("%s: jwks_uri: %w", issuerURL, err)
	}
	var keys jose.JSONWebKeySet
	if err := d.get(ctx, document.JWKSURI, &keys); err != nil {
		return jose.JSONWebKeySet{}, err
	}
	// A key of another kind or use is no reason to refuse the others.
	keys.Keys = slices.DeleteFunc(keys.Keys, func(key jose.JSONWebKey) bool { return checkPublicKey(key) != nil })
	if err := checkKeySet(keys.Keys); err != nil {
		return jose.JSONWebKeySet{}, fmt.Errorf("%s: %w", issuerURL, err)
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
