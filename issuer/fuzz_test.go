package issuer

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/exchange"
	"github.com/bulkhead-dev/bulkhead/storage"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// What is found is kept and must mean the same in the next run, so that the
// registered cluster has always the same key, and the clock stands.

func fuzzCluster(f *testing.F) computeCluster {
	f.Helper()
	scalar := sha256.Sum256([]byte("the key of a cluster that is fuzzed"))
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar[:])
	if err != nil {
		f.Fatal(err)
	}
	return computeCluster{"k14c1", key}
}

func fuzzNow() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

// fuzzClaims are those of a good credential.
func fuzzClaims(f *testing.F) []byte {
	f.Helper()
	raw, err := json.Marshal(map[string]any{
		"iss": sharedIssuer, "aud": []string{testIssuer}, "exp": fuzzNow().Add(time.Hour).Unix(), "iat": fuzzNow().Unix(),
		"sub": "system:serviceaccount:bulkhead-system:bulkhead-sidecar", "jti": "credential-1",
		"kubernetes.io": map[string]any{"namespace": "bulkhead-system", "serviceaccount": map[string]any{"name": "bulkhead-sidecar"}},
	})
	if err != nil {
		f.Fatal(err)
	}
	return raw
}

const fuzzHeader = `{"alg":"ES256","kid":"kid-of-k14c1"}`

// signRaw signs whatever header and claims there are.
func (c computeCluster) signRaw(tb testing.TB, header, claims []byte) string {
	tb.Helper()
	text := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(claims)
	signature, err := jwt.SigningMethodES256.Sign(text, c.key)
	if err != nil {
		tb.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// fuzzAuthenticator is that of a policy with the one cluster in it.
func fuzzAuthenticator(f *testing.F, c computeCluster) *authenticator {
	f.Helper()
	raw, err := yaml.Marshal(map[string]any{
		"storageCluster": "storage-1", "maxLife": "10m", "rateLimit": map[string]any{"perSecond": 1e6, "burst": 1_000_000},
		"clusters": []any{map[string]any{
			"name": c.name, "jwks": c.jwks(), "claims": map[string]string{"site": "berlin"},
			"namespaces": map[string]any{"deny": []string{"kube-*"}}, "tenants": map[string]any{"deny": []string{"secret"}},
		}},
	})
	if err != nil {
		f.Fatal(err)
	}
	policy, err := ParsePolicy(raw)
	if err != nil {
		f.Fatal(err)
	}
	return newAuthenticator(policy, testIssuer, newDiscoverer(&http.Client{Transport: refusing{}}, fuzzNow), fuzzNow)
}

// fuzzHandler is the token endpoint, and the keys that it signs with.
func fuzzHandler(f *testing.F, inForce *authenticator) (*exchangeHandler, *keyRing) {
	f.Helper()
	raw, err := generate("ES256")
	if err != nil {
		f.Fatal(err)
	}
	ring, err := parseKeys(map[string][]byte{"signing.pem": raw})
	if err != nil {
		f.Fatal(err)
	}
	return &exchangeHandler{
		minter:        &minter{issuer: testIssuer, backdate: time.Minute, keys: func() *keyRing { return ring }, now: fuzzNow},
		authenticator: func() *authenticator { return inForce }, now: fuzzNow, metrics: newMetrics(), audit: newAuditLog(io.Discard),
	}, ring
}

func FuzzExchange(f *testing.F) {
	f.Add(form("a.b.c").Encode())
	f.Add("grant_type=" + url.QueryEscape(exchange.GrantType) + "&subject_token=%00")
	f.Add("%")
	f.Add("a=1&a=2")
	// Kept out of the loop: what differs is the request.
	policy, err := ParsePolicy([]byte("storageCluster: s\nclusters:\n- {name: a, discovery: 'https://a.example'}"))
	if err != nil {
		f.Fatal(err)
	}
	inForce := newAuthenticator(policy, testIssuer, newDiscoverer(&http.Client{Transport: refusing{}}, time.Now), time.Now)
	h := &exchangeHandler{
		authenticator: func() *authenticator { return inForce }, now: time.Now, metrics: newMetrics(), audit: newAuditLog(io.Discard),
	}
	f.Fuzz(func(t *testing.T, body string) {
		req := httptest.NewRequest(http.MethodPost, exchange.TokenPath, strings.NewReader(body))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		var got exchange.ErrorResponse
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Code == "" || w.Code < 400 || w.Code >= 500 {
			t.Errorf("HTTP %d: %s", w.Code, w.Body)
		}
		// RFC 6749 §5.2: visible ASCII without quote and backslash.
		for _, c := range got.Description {
			if c < ' ' || c > '~' || c == '"' || c == '\\' {
				t.Errorf("the description holds %q", c)
			}
		}
	})
}

// Whatever a registered cluster asks for: it gets a token of a tenant of its own,
// in its role and for no longer than the policy allows, or a refusal.
func FuzzScopeAndLife(f *testing.F) {
	f.Add(testScope, "storage-1", "60")
	f.Add(testScope+" tenant:Fin_1.x", "storage-1", "")
	f.Add(testScope+" tenant:secret", "storage-1", "999999999")
	f.Add("namespace:kube-system uid:"+testUID, "storage-1", "-1")
	f.Add(testScope, "storage-2", "60s")
	c := fuzzCluster(f)
	inForce := fuzzAuthenticator(f, c)
	h, ring := fuzzHandler(f, inForce)
	credential := c.signRaw(f, []byte(fuzzHeader), fuzzClaims(f))
	f.Fuzz(func(t *testing.T, scope, audience, life string) {
		body := url.Values{
			"grant_type": {exchange.GrantType}, "subject_token": {credential}, "subject_token_type": {exchange.TokenTypeJWT},
			"audience": {audience}, "scope": {scope}, "requested_life": {life},
		}.Encode()
		req := httptest.NewRequest(http.MethodPost, exchange.TokenPath, strings.NewReader(body))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code != http.StatusOK {
			var got exchange.ErrorResponse
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Code == "" || w.Code < 400 || w.Code >= 500 {
				t.Errorf("HTTP %d: %s", w.Code, w.Body)
			}
			return
		}
		var got exchange.Response
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		var claims tokenClaims
		if _, err := jwt.ParseWithClaims(got.AccessToken, &claims, func(*jwt.Token) (any, error) { return ring.keys[0].public.Key, nil },
			jwt.WithTimeFunc(fuzzNow)); err != nil {
			t.Fatal("the token does not verify")
		}
		tenant, err := exchange.ParseScope(scope)
		if err != nil || audience != "storage-1" || tenant.Label == "secret" || strings.HasPrefix(tenant.Namespace, "kube-") {
			t.Errorf("granted %q for %q", scope, audience)
		}
		if claims.Subject != tenant.Subject("k14c1") || !slices.Equal(claims.Roles, []string{storage.TenantRole}) || !slices.Equal(claims.Groups, []string{claims.Subject}) {
			t.Errorf("%q gave subject %q, roles %v, groups %v", scope, claims.Subject, claims.Roles, claims.Groups)
		}
		if left := claims.ExpiresAt.Sub(fuzzNow()); left < minLife || left > inForce.policy.Clusters[0].MaxLife {
			t.Errorf("%q gave a life of %v", life, left)
		}
	})
}

// Whatever is shown for a credential: it is refused, or it is one that the
// registered cluster has signed, and says what that one says.
func FuzzCredential(f *testing.F) {
	c := fuzzCluster(f)
	good := c.signRaw(f, []byte(fuzzHeader), fuzzClaims(f))
	f.Add(good)
	f.Add(good[:len(good)-2])
	f.Add(base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","kid":"kid-of-k14c1"}`)) + "." + strings.Split(good, ".")[1] + ".")
	f.Add(base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","kid":"kid-of-k14c1","crit":["b64"],"b64":false}`)) + "." + strings.Split(good, ".")[1] + ".AAAA")
	f.Add("a.b.c")
	inForce := fuzzAuthenticator(f, c)
	f.Fuzz(func(t *testing.T, credential string) {
		who, err := inForce.authenticate(t.Context(), credential)
		switch {
		case err == nil:
			if who.cluster.Name != "k14c1" || who.namespace != "bulkhead-system" || who.serviceAccount != "bulkhead-sidecar" {
				t.Errorf("taken for %s/%s of %s", who.namespace, who.serviceAccount, who.cluster.Name)
			}
		case !errors.Is(err, errCredential):
			t.Errorf("another error: %v", err)
		}
	})
}

// Whatever a registered cluster signs: it counts only as a bound token of one
// ServiceAccount for this audience, which ends within a day.
func FuzzCredentialClaims(f *testing.F) {
	c := fuzzCluster(f)
	good := fuzzClaims(f)
	f.Add([]byte(fuzzHeader), good)
	for _, change := range [][2]string{
		{`"exp":`, `"exp":9`}, {`"exp"`, `"nbf"`}, {testIssuer, testIssuer + `","https://api`}, {":bulkhead-sidecar", ":default"}, {`"name"`, `"Name"`},
	} {
		f.Add([]byte(fuzzHeader), bytes.Replace(good, []byte(change[0]), []byte(change[1]), 1))
	}
	f.Add([]byte(`{"alg":"ES256","kid":"kid-of-k14c1","crit":["exp"]}`), good)
	f.Add([]byte(`{"alg":"RS256","kid":"kid-of-k14c1"}`), good)
	f.Add([]byte(`{"alg":"ES256","kid":7}`), good)
	inForce := fuzzAuthenticator(f, c)
	f.Fuzz(func(t *testing.T, header, claims []byte) {
		who, err := inForce.authenticate(t.Context(), c.signRaw(t, header, claims))
		if err != nil {
			if !errors.Is(err, errCredential) {
				t.Errorf("another error: %v", err)
			}
			return
		}
		var said struct {
			Subject string           `json:"sub"`
			Expires *jwt.NumericDate `json:"exp"`
			Issued  *jwt.NumericDate `json:"iat"`
		}
		if err := json.Unmarshal(claims, &said); err != nil || said.Expires == nil || said.Issued == nil {
			t.Fatalf("accepted %s: %v", claims, err)
		}
		if said.Subject != "system:serviceaccount:"+who.namespace+":"+who.serviceAccount || who.namespace == "" || who.serviceAccount == "" {
			t.Errorf("%q was taken for %s/%s", said.Subject, who.namespace, who.serviceAccount)
		}
		if !fuzzNow().Before(said.Expires.Add(credentialLeeway)) || said.Expires.Sub(said.Issued.Time) > maxCredentialLife {
			t.Errorf("accepted until %v", said.Expires)
		}
	})
}

// documents is a network of two documents: that of discovery, and any other.
type documents struct{ discovery, keys []byte }

func (d documents) RoundTrip(r *http.Request) (*http.Response, error) {
	if checkDiscoveryURL(r.URL.String()) != nil {
		return nil, errors.New("asked " + r.URL.String())
	}
	body := d.keys
	if r.URL.Path == discoveryPath {
		body = d.discovery
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(body)), Request: r}, nil
}

// Whatever a cluster publishes as its keys: what is read are public keys that may
// sign a credential, by the issuer that was asked, from where a public issuer may be.
func FuzzDiscovery(f *testing.F) {
	const at = "https://cluster.example"
	keys, err := json.Marshal(fuzzCluster(f).jwks())
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"issuer":"`+at+`","jwks_uri":"`+at+`/keys"}`), keys)
	f.Add([]byte(`{"issuer":"`+at+`","jwks_uri":"http://localhost/keys"}`), keys)
	f.Add([]byte(`{"issuer":"https://other.example","jwks_uri":"`+at+`/keys"}`), keys)
	f.Add([]byte(`{"issuer":"`+at+`","jwks_uri":"`+at+`/keys"}`), []byte(`{"keys":[{"kty":"oct","kid":"k","k":"c2VjcmV0"},{"kty":"RSA","kid":"r","n":"AQAB","e":"AQAB"}]}`))
	f.Fuzz(func(t *testing.T, discovery, keys []byte) {
		d := newDiscoverer(&http.Client{Transport: documents{discovery, keys}}, fuzzNow)
		set, err := d.fetch(t.Context(), at)
		if err != nil {
			if strings.Contains(err.Error(), "asked ") {
				t.Error(err)
			}
			return
		}
		for _, key := range set.Keys {
			if err := checkPublicKey(key); err != nil {
				t.Error(err)
			}
		}
		if !bytes.Contains(discovery, []byte("cluster")) {
			t.Errorf("read the keys of %s", discovery)
		}
	})
}

// Whatever a key store holds: it is refused without a word of what is in it, or
// there is a key that signs, and what is published is public.
func FuzzParseKeys(f *testing.F) {
	der := func(algorithm string) []byte {
		raw, err := generate(algorithm)
		if err != nil {
			f.Fatal(err)
		}
		block, _ := pem.Decode(raw)
		return block.Bytes
	}
	ec, secret := der("ES256"), []byte(strings.Repeat("not a secret ", 3))
	f.Add([]byte(""), ec, secret)
	f.Add([]byte("keys:\n- {name: a, publish: 2026-01-01T00:00:00Z, sign: 2026-01-01T00:10:00Z}\n- {name: b, publish: 2026-01-02T00:00:00Z, sign: 2026-01-03T00:00:00Z}\n"), ec, secret)
	f.Add([]byte("keys: [{name: b, issuer: other}]"), ec, secret)
	f.Add([]byte("keys: [{name: a}, {name: a}]"), ec, []byte("short"))
	f.Add([]byte("keys: &k [{name: ../a}, *k]"), []byte{0x30, 0}, secret)
	f.Fuzz(func(t *testing.T, manifest, der, secret []byte) {
		files := map[string][]byte{"a" + pemEnding: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), "b" + secretEnding: secret}
		if len(manifest) > 0 {
			files[manifestName] = manifest
		}
		ring, err := parseKeys(files)
		if err != nil {
			const telling = 8 // bytes; less may occur in any text
			if told := bytes.TrimSpace(secret); len(told) >= telling && !bytes.Contains(manifest, told) && strings.Contains(err.Error(), string(told)) {
				t.Error("the error holds the secret")
			}
			return
		}
		for _, now := range []time.Time{{}, fuzzNow(), fuzzNow().AddDate(100, 0, 0)} {
			if signing := ring.signing(now); signing.id == "" {
				t.Errorf("key %q has no id", signing.name)
			} else if _, err := signing.signToken(tokenClaims{}); err != nil {
				t.Errorf("key %q does not sign: %v", signing.name, err)
			}
			for _, key := range ring.published(now).Keys {
				if err := checkPublicKey(key); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

// Whatever an API server publishes as its keys: register prints an entry that the
// policy reads as that very cluster, or nothing.
func FuzzStanza(f *testing.F) {
	keys, err := json.Marshal(fuzzCluster(f).jwks())
	if err != nil {
		f.Fatal(err)
	}
	f.Add("k14c1", keys)
	f.Add("yes", keys)
	f.Add("a\n- name: b", keys)
	f.Add("1", []byte(`{"keys":[]}`))
	f.Fuzz(func(t *testing.T, name string, jwks []byte) {
		text, err := Stanza(name, jwks)
		if err != nil {
			return
		}
		p, err := ParsePolicy([]byte("storageCluster: s\nclusters:\n" + text))
		if err != nil {
			t.Fatalf("the policy refuses %s: %v", text, err)
		}
		var want jose.JSONWebKeySet
		if err := json.Unmarshal(jwks, &want); err != nil {
			t.Fatal(err)
		}
		if len(p.Clusters) != 1 || p.Clusters[0].Name != name || len(p.Clusters[0].JWKS.Keys) != len(want.Keys) || tenancy.ValidateClusterName(name) != nil {
			t.Errorf("%q with %d keys reads as %+v", name, len(want.Keys), p.Clusters)
		}
	})
}

func FuzzParsePolicy(f *testing.F) {
	f.Add([]byte("storageCluster: s\nmaxLife: 1h\nclusters:\n- name: a\n  discovery: https://a.example\n"))
	f.Add([]byte("storageCluster: s\nclusters:\n- name: a\n  jwks: {keys: [{kty: EC, crv: P-256, kid: k, x: f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU, y: x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0}]}\n"))
	f.Add([]byte("storageCluster: &a s\nclusters: [*a]\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := ParsePolicy(raw)
		if err != nil {
			return
		}
		// Whatever is accepted says who each cluster is, and for how long.
		for _, c := range p.Clusters {
			if c.Name == "" || c.MaxLife < minLife || c.MaxLife > maxLife || (len(c.JWKS.Keys) == 0) == (c.Discovery == "") || c.limiters == nil {
				t.Errorf("accepted %+v", c)
			}
		}
	})
}
