package issuer

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

// publicIssuer is a compute cluster whose keys are on the internet, as seen
// from a client whose network leads there.
type publicIssuer struct {
	url    string
	client *http.Client
	reads  int
	keys   []any
	answer func(w http.ResponseWriter) bool
}

func newPublicIssuer(t *testing.T, keys ...any) *publicIssuer {
	t.Helper()
	p := &publicIssuer{url: "https://oidc.example.com/id/1", keys: keys}
	mux := http.NewServeMux()
	mux.HandleFunc("/id/1"+discoveryPath, func(w http.ResponseWriter, _ *http.Request) {
		p.reads++
		if p.answer != nil && p.answer(w) {
			return
		}
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":"https://oidc.example.com/keys"}`, p.url)
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": p.keys})
	})
	server := httptest.NewTLSServer(mux)
	t.Cleanup(server.Close)
	p.client = &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, ServerName: "example.com"},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
		},
	}}
	return p
}

func discoveringPolicy(t *testing.T, clusters string) *Policy {
	t.Helper()
	p, err := ParsePolicy([]byte("storageCluster: s\nclusters:\n" + clusters))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestDiscoveredKeysVerifyCredentials(t *testing.T) {
	cluster := newComputeCluster(t, "k14c1")
	public := newPublicIssuer(t, jose.JSONWebKey{Key: cluster.key.Public(), KeyID: "kid-of-k14c1"})
	now := time.Now()
	clock := func() time.Time { return now }
	a := newAuthenticator(discoveringPolicy(t, "- {name: k14c1, discovery: "+public.url+"}\n"), testIssuer, newDiscoverer(public.client, clock), clock)
	named := func(c jwt.MapClaims, _ map[string]any) { c["iss"] = public.url }
	who, err := a.authenticate(t.Context(), cluster.credential(t, "bulkhead-sidecar", named))
	if err != nil || who.cluster.Name != "k14c1" {
		t.Fatalf("%+v, %v", who, err)
	}
	if _, err := a.authenticate(t.Context(), cluster.credential(t, "bulkhead-sidecar", nil)); err == nil {
		t.Error("a credential of another issuer name was accepted")
	}
	// Forged key ids cause no storm of requests.
	for range 20 {
		if _, err := a.authenticate(t.Context(), cluster.credential(t, "bulkhead-sidecar", func(c jwt.MapClaims, h map[string]any) {
			named(c, h)
			h["kid"] = "forged"
		})); err == nil {
			t.Fatal("a forged key id was accepted")
		}
	}
	if public.reads > 1 {
		t.Errorf("the keys were read %d times within a moment", public.reads)
	}
	// A removed key is believed for minutes, not for good; an outage ends that
	// too.
	now = now.Add(keysFreshFor + time.Second)
	public.answer = func(w http.ResponseWriter) bool { w.WriteHeader(http.StatusBadGateway); return true }
	if _, err := a.authenticate(t.Context(), cluster.credential(t, "bulkhead-webhook", named)); err == nil {
		t.Error("stale keys are believed while the issuer does not answer")
	}
}

// E15: a key that two clusters come to share verifies nothing.
func TestE15_ADiscoveredKeyThatTwoClustersShareIsNobodys(t *testing.T) {
	cluster := newComputeCluster(t, "k14c1")
	public := newPublicIssuer(t, jose.JSONWebKey{Key: cluster.key.Public(), KeyID: "kid-of-k14c1"})
	static, err := json.Marshal(cluster.jwks())
	if err != nil {
		t.Fatal(err)
	}
	policy := discoveringPolicy(t, "- {name: k14c1, discovery: "+public.url+"}\n- {name: k14c2, jwks: "+string(static)+"}\n")
	a := newAuthenticator(policy, testIssuer, newDiscoverer(public.client, time.Now), time.Now)
	if who, err := a.authenticate(t.Context(), cluster.credential(t, "bulkhead-sidecar", func(c jwt.MapClaims, _ map[string]any) { c["iss"] = public.url })); err == nil {
		t.Errorf("taken for %s", who.cluster.Name)
	}
}

func TestBadDiscoveryDocumentsGiveNoKeys(t *testing.T) {
	cluster := newComputeCluster(t, "k14c1")
	good := jose.JSONWebKey{Key: cluster.key.Public(), KeyID: "kid-of-k14c1"}
	say := func(text string) func(http.ResponseWriter) bool {
		return func(w http.ResponseWriter) bool { fmt.Fprint(w, text); return true }
	}
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter) bool
		key    any
	}{
		"an error":               {func(w http.ResponseWriter) bool { w.WriteHeader(http.StatusInternalServerError); return true }, good},
		"no JSON":                {say("<html>"), good},
		"another issuer":         {say(`{"issuer":"https://evil.example.com","jwks_uri":"https://oidc.example.com/keys"}`), good},
		"keys at an address":     {say(`{"issuer":"https://oidc.example.com/id/1","jwks_uri":"https://10.0.0.1/keys"}`), good},
		"keys over plain http":   {say(`{"issuer":"https://oidc.example.com/id/1","jwks_uri":"http://oidc.example.com/keys"}`), good},
		"a shared secret as key": {nil, map[string]string{"kty": "oct", "kid": "kid-of-k14c1", "k": "c2VjcmV0"}},
	} {
		public := newPublicIssuer(t, c.key)
		public.answer = c.answer
		if keys, _ := newDiscoverer(public.client, time.Now).keys(t.Context(), public.url, "kid-of-k14c1"); len(keys) != 0 {
			t.Errorf("%s: %d keys", name, len(keys))
		}
	}
}

// A caller that hangs up does not keep the keys from others.
func TestACallerThatHangsUpDoesNotPoisonDiscovery(t *testing.T) {
	cluster := newComputeCluster(t, "k14c1")
	public := newPublicIssuer(t, jose.JSONWebKey{Key: cluster.key.Public(), KeyID: "kid-of-k14c1"})
	d := newDiscoverer(public.client, time.Now)
	gone, hangUp := context.WithCancel(t.Context())
	hangUp()
	_, _ = d.keys(gone, public.url, "random")
	if keys, err := d.keys(t.Context(), public.url, "kid-of-k14c1"); err != nil || len(keys) != 1 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
}

// M3: what discovery reads is where the policy says, not where a server sends it.
func TestDiscoveryFollowsNobodyElsewhere(t *testing.T) {
	client := discoveryClient(false)
	for _, address := range []string{"127.0.0.1:443", "[::1]:443", "10.1.2.3:443", "169.254.169.254:80", "[::ffff:127.0.0.1]:443", "0.0.0.0:443"} {
		transport, ok := client.Transport.(*http.Transport)
		if !ok {
			t.Fatal("another transport")
		}
		if conn, err := transport.DialContext(t.Context(), "tcp", address); err == nil || !strings.Contains(err.Error(), "not a public address") {
			t.Errorf("%s: %v, %v", address, conn, err)
		}
	}
	elsewhere := httptest.NewServer(http.NotFoundHandler())
	defer elsewhere.Close()
	redirecting := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusFound))
	defer redirecting.Close()
	resp, err := discoveryClient(true).Get(redirecting.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusFound {
		t.Errorf("HTTP %d: the redirect was followed", resp.StatusCode)
	}
}

// A key set that is large or repeats ids would make each forged credential cost
// many verifications.
func TestALargeKeySetIsRefused(t *testing.T) {
	cluster := newComputeCluster(t, "k14c1")
	var many []any
	for i := range maxKeys + 1 {
		many = append(many, jose.JSONWebKey{Key: cluster.key.Public(), KeyID: strconv.Itoa(i)})
	}
	for name, keys := range map[string][]any{"too many": many, "one id twice": {many[0], many[0]}} {
		public := newPublicIssuer(t, keys...)
		if got, err := newDiscoverer(public.client, time.Now).keys(t.Context(), public.url, "0"); err == nil || len(got) != 0 {
			t.Errorf("%s: %d keys, %v", name, len(got), err)
		}
	}
}
