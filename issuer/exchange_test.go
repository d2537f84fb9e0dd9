package issuer

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/exchange"
	"github.com/bulkhead-dev/bulkhead/storage"
)

const (
	testIssuer = "https://issuer.example"
	testUID    = "0b1d3a52-5a0c-4f3e-9d2f-0c6f8a1b2c3d"
	testScope  = "namespace:team-a uid:" + testUID
	// sharedIssuer is the `iss` that every kubeadm cluster has.
	sharedIssuer = "https://kubernetes.default.svc.cluster.local"
)

// computeCluster signs ServiceAccount tokens as an API server does.
type computeCluster struct {
	name string
	key  *ecdsa.PrivateKey
}

func newComputeCluster(t *testing.T, name string) computeCluster {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return computeCluster{name, key}
}

func (c computeCluster) jwks() map[string]any {
	return map[string]any{"keys": []any{jose.JSONWebKey{Key: c.key.Public(), KeyID: "kid-of-" + c.name}}}
}

// credential is a ServiceAccount token; change edits its claims and header.
func (c computeCluster) credential(t *testing.T, serviceAccount string, change func(claims jwt.MapClaims, header map[string]any)) string {
	t.Helper()
	now := time.Now()
	claims := jwt.MapClaims{
		"iss": sharedIssuer, "aud": []string{testIssuer}, "exp": now.Add(time.Hour).Unix(), "iat": now.Unix(),
		"sub": "system:serviceaccount:bulkhead-system:" + serviceAccount, "jti": "credential-1",
		"kubernetes.io": map[string]any{
			"namespace": "bulkhead-system", "serviceaccount": map[string]any{"name": serviceAccount},
		},
	}
	token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	token.Header["kid"] = "kid-of-" + c.name
	if change != nil {
		change(claims, token.Header)
	}
	signed, err := token.SignedString(c.key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// newHandler serves for the clusters; suspended names one of them.
func newHandler(t *testing.T, suspended string, clusters ...computeCluster) *testHandler {
	t.Helper()
	var stanzas []any
	for _, c := range clusters {
		stanzas = append(stanzas, map[string]any{
			"name": c.name, "jwks": c.jwks(), "suspended": c.name == suspended, "claims": map[string]string{"site": "berlin"},
			"namespaces": map[string]any{"deny": []string{"kube-*"}}, "tenants": map[string]any{"deny": []string{"secret"}},
		})
	}
	raw, err := yaml.Marshal(map[string]any{"storageCluster": "storage-1", "maxLife": "10m", "clusters": stanzas})
	if err != nil {
		t.Fatal(err)
	}
	policy, err := ParsePolicy(raw)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := generate("ES256")
	if err != nil {
		t.Fatal(err)
	}
	ring, err := parseKeys(map[string][]byte{"signing.pem": pem})
	if err != nil {
		t.Fatal(err)
	}
	inForce := newAuthenticator(policy, testIssuer, newDiscoverer(http.DefaultClient, time.Now), time.Now)
	audit := &bytes.Buffer{}
	return &testHandler{audit: audit, ring: ring, exchangeHandler: exchangeHandler{
		minter:        &minter{issuer: testIssuer, backdate: time.Minute, keys: func() *keyRing { return ring }, now: time.Now},
		authenticator: func() *authenticator { return inForce },
		now:           time.Now, metrics: newMetrics(), audit: newAuditLog(audit),
	}}
}

// testHandler is the token endpoint with its audit log and keys at hand.
type testHandler struct {
	exchangeHandler

	audit *bytes.Buffer
	ring  *keyRing
}

func form(credential string) url.Values {
	return url.Values{
		"grant_type": {exchange.GrantType}, "subject_token": {credential},
		"subject_token_type": {exchange.TokenTypeJWT}, "audience": {"storage-1"}, "scope": {testScope},
	}
}

func post(t *testing.T, h http.Handler, body string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequest(http.MethodPost, exchange.TokenPath, strings.NewReader(body))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	if got := w.Header().Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control is %q, want no-store", got)
	}
	return w
}

func TestExchangeGrantsWhatThePolicySays(t *testing.T) {
	cluster := newComputeCluster(t, "k14c1")
	h := newHandler(t, "", cluster)
	for name, c := range map[string]struct{ serviceAccount, scope, subject, role string }{
		"the sidecar, for a namespace":       {"bulkhead-sidecar", testScope, "team-a." + testUID + "@k14c1", storage.TenantRole},
		"the sidecar, for a labelled tenant": {"bulkhead-sidecar", testScope + " tenant:finance", "tenant/finance@k14c1", storage.TenantRole},
		"the webhook":                        {"bulkhead-webhook", testScope, "team-a." + testUID + "@k14c1", storage.InspectRole},
	} {
		t.Run(name, func(t *testing.T) {
			f := form(cluster.credential(t, c.serviceAccount, nil))
			f.Set("scope", c.scope)
			before := time.Now()
			w := post(t, h, f.Encode())
			if w.Code != http.StatusOK {
				t.Fatalf("HTTP %d: %s", w.Code, w.Body)
			}
			var got exchange.Response
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if got.TokenType != "Bearer" || got.IssuedTokenType != exchange.TokenTypeAccess || got.Scope != c.scope || got.ExpiresIn != 600 {
				t.Errorf("answer: type %q, issued type %q, scope %q, expires in %d", got.TokenType, got.IssuedTokenType, got.Scope, got.ExpiresIn)
			}
			var claims tokenClaims
			if _, err := jwt.ParseWithClaims(got.AccessToken, &claims, func(*jwt.Token) (any, error) { return h.ring.keys[0].public.Key, nil },
				jwt.WithValidMethods([]string{"ES256"}), jwt.WithAudience("storage-1"), jwt.WithIssuer(testIssuer)); err != nil {
				t.Fatal(err)
			}
			if claims.Subject != c.subject {
				t.Errorf("subject %q, want %q", claims.Subject, c.subject)
			}
			if len(claims.Roles) != 1 || claims.Roles[0] != c.role {
				t.Errorf("roles %q, want only %q", claims.Roles, c.role)
			}
			if len(claims.Groups) != 1 || claims.Groups[0] != c.subject {
				t.Errorf("groups %q, want only %q", claims.Groups, c.subject)
			}
			if claims.ID == "" {
				t.Error("the token has no jti")
			}
			if site := payload(t, got.AccessToken)["site"]; site != "berlin" {
				t.Errorf("the claim that the policy adds is %v", site)
			}
			if back := before.Sub(claims.IssuedAt.Time); back < 59*time.Second {
				t.Errorf("iat is back-dated by %v, want a minute", back)
			}
		})
	}
}

func TestExchangeRefusesWithTheRightCode(t *testing.T) {
	cluster, other, stranger := newComputeCluster(t, "k14c1"), newComputeCluster(t, "k14c2"), newComputeCluster(t, "k14c1")
	h := newHandler(t, "k14c2", cluster, other)
	good := cluster.credential(t, "bulkhead-sidecar", nil)
	with := func(key string, values ...string) url.Values {
		f := form(good)
		f[key] = values
		return f
	}
	without := func(key string) url.Values {
		f := form(good)
		f.Del(key)
		return f
	}
	changed := func(change func(jwt.MapClaims, map[string]any)) url.Values {
		return form(cluster.credential(t, "bulkhead-sidecar", change))
	}
	for name, c := range map[string]struct {
		form   url.Values
		status int
		code   string
	}{
		"another grant type":              {with("grant_type", "client_credentials"), 400, exchange.UnsupportedGrantType},
		"no credential":                   {without("subject_token"), 400, exchange.InvalidRequest},
		"another type of credential":      {with("subject_token_type", "urn:ietf:params:oauth:token-type:saml2"), 400, exchange.InvalidRequest},
		"an actor":                        {with("actor_token", "x"), 400, exchange.InvalidRequest},
		"another type of token":           {with("requested_token_type", exchange.TokenTypeJWT+"x"), 400, exchange.InvalidRequest},
		"a parameter twice":               {with("scope", testScope, testScope), 400, exchange.InvalidRequest},
		"a body that is too large":        {with("padding", strings.Repeat("x", maxRequest)), 400, exchange.InvalidRequest},
		"another storage cluster":         {with("audience", "storage-2"), 400, exchange.InvalidTarget},
		"no scope":                        {without("scope"), 400, exchange.InvalidScope},
		"a namespace of another cluster":  {with("scope", "namespace:team-a@k14c2 uid:"+testUID), 400, exchange.InvalidScope},
		"a namespace the policy denies":   {with("scope", "namespace:kube-system uid:"+testUID), 400, exchange.InvalidScope},
		"a tenant the policy denies":      {with("scope", testScope+" tenant:secret"), 400, exchange.InvalidScope},
		"a scope with a tab":              {with("scope", "namespace:team-a\tuid:"+testUID), 400, exchange.InvalidScope},
		"a scope with a line break":       {with("scope", "namespace:team-a uid:"+testUID+"\n"), 400, exchange.InvalidScope},
		"a scope with a comma":            {with("scope", "namespace:team-a,team-b uid:"+testUID), 400, exchange.InvalidScope},
		"a scope with a wide colon":       {with("scope", "namespace\uff1ateam-a uid:"+testUID), 400, exchange.InvalidScope},
		"a namespace of look-alikes":      {with("scope", "namespace:te\u0430m-a uid:"+testUID), 400, exchange.InvalidScope},
		"a namespace with a zero width":   {with("scope", "namespace:team-a\u200b uid:"+testUID), 400, exchange.InvalidScope},
		"a namespace with a zero byte":    {with("scope", "namespace:team-a\x00 uid:"+testUID), 400, exchange.InvalidScope},
		"a uid that is a subject":         {with("scope", "namespace:team-a uid:"+testUID+"@k14c2"), 400, exchange.InvalidScope},
		"a scope with the group of all":   {with("scope", testScope+" groups:*"), 400, exchange.InvalidScope},
		"a tenant that is the group":      {with("scope", testScope+" tenant:*"), 400, exchange.InvalidScope},
		"a life that is no number":        {with("requested_life", "1h"), 400, exchange.InvalidRequest},
		"a life below zero":               {with("requested_life", "-1"), 400, exchange.InvalidRequest},
		"a life of no time":               {with("requested_life", "0"), 400, exchange.InvalidRequest},
		"no grant type":                   {without("grant_type"), 400, exchange.InvalidRequest},
		"no type of credential":           {without("subject_token_type"), 400, exchange.InvalidRequest},
		"an empty audience":               {with("audience", ""), 400, exchange.InvalidTarget},
		"a scope without uid":             {with("scope", "namespace:team-a"), 400, exchange.InvalidScope},
		"a scope with another cluster":    {with("scope", testScope+" cluster:k14c2"), 400, exchange.InvalidScope},
		"a scope that asks for a role":    {with("scope", testScope+" role:system.admin"), 400, exchange.InvalidScope},
		"a scope with two namespaces":     {with("scope", testScope+" namespace:team-b"), 400, exchange.InvalidScope},
		"a tenant of another cluster":     {with("scope", testScope+" tenant:x@k14c2"), 400, exchange.InvalidScope},
		"a ServiceAccount of no business": {form(cluster.credential(t, "default", nil)), 400, exchange.UnauthorizedClient},
		"a suspended cluster":             {form(other.credential(t, "bulkhead-sidecar", nil)), 400, exchange.UnauthorizedClient},
		"not a JWT":                       {with("subject_token", "secret-looking-garbage"), 401, exchange.InvalidClient},
		"a key that nobody registered":    {form(stranger.credential(t, "bulkhead-sidecar", nil)), 401, exchange.InvalidClient},
		"an unknown key id":               {changed(func(_ jwt.MapClaims, h map[string]any) { h["kid"] = "x" }), 401, exchange.InvalidClient},
		"no key id":                       {changed(func(_ jwt.MapClaims, h map[string]any) { delete(h, "kid") }), 401, exchange.InvalidClient},
		"another audience":                {changed(func(c jwt.MapClaims, _ map[string]any) { c["aud"] = sharedIssuer }), 401, exchange.InvalidClient},
		"no audience":                     {changed(func(c jwt.MapClaims, _ map[string]any) { delete(c, "aud") }), 401, exchange.InvalidClient},
		"an expired credential":           {changed(func(c jwt.MapClaims, _ map[string]any) { c["exp"] = time.Now().Add(-time.Minute).Unix() }), 401, exchange.InvalidClient},
		"a credential without end":        {changed(func(c jwt.MapClaims, _ map[string]any) { delete(c, "exp") }), 401, exchange.InvalidClient},
		"a credential from the future":    {changed(func(c jwt.MapClaims, _ map[string]any) { c["iat"] = time.Now().Add(time.Hour).Unix() }), 401, exchange.InvalidClient},
		"two audiences":                   {changed(func(c jwt.MapClaims, _ map[string]any) { c["aud"] = []string{testIssuer, sharedIssuer} }), 401, exchange.InvalidClient},
		"a subject of another account":    {changed(func(c jwt.MapClaims, _ map[string]any) { c["sub"] = "system:serviceaccount:bulkhead-system:other" }), 401, exchange.InvalidClient},
		"a credential of a year":          {changed(func(c jwt.MapClaims, _ map[string]any) { c["exp"] = time.Now().Add(365 * 24 * time.Hour).Unix() }), 401, exchange.InvalidClient},
		"a critical extension":            {changed(func(_ jwt.MapClaims, h map[string]any) { h["crit"] = []string{"b64"} }), 401, exchange.InvalidClient},
		"a resource":                      {with("resource", "https://storage.example"), 400, exchange.InvalidTarget},
		"a token of no ServiceAccount":    {changed(func(c jwt.MapClaims, _ map[string]any) { delete(c, "kubernetes.io") }), 401, exchange.InvalidClient},
		"an unsigned credential":          {with("subject_token", unsigned(t, good)), 401, exchange.InvalidClient},
	} {
		t.Run(name, func(t *testing.T) {
			h.audit.Reset()
			w := post(t, h, c.form.Encode())
			var got exchange.ErrorResponse
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatalf("HTTP %d, not JSON: %v", w.Code, err)
			}
			if w.Code != c.status || got.Code != c.code {
				t.Errorf("HTTP %d %s (%s), want %d %s", w.Code, got.Code, got.Description, c.status, c.code)
			}
			if token := c.form.Get("subject_token"); token != "" {
				signature := token[strings.LastIndex(token, ".")+1:]
				for where, text := range map[string]string{"answer": w.Body.String(), "audit log": h.audit.String()} {
					if strings.Contains(text, token) || (signature != "" && strings.Contains(text, signature)) {
						t.Errorf("the %s holds the credential", where)
					}
				}
			}
		})
	}
}

func payload(t *testing.T, token string) jwt.MapClaims {
	t.Helper()
	var claims jwt.MapClaims
	if _, _, err := jwt.NewParser().ParseUnverified(token, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestTheLifeIsTheLeastOfAskedAndAllowed(t *testing.T) {
	cluster := newComputeCluster(t, "k14c1")
	h := newHandler(t, "", cluster)
	for asked, want := range map[string]int64{"": 600, "60": 60, "600": 600, "86400": 600} {
		f := form(cluster.credential(t, "bulkhead-sidecar", nil))
		if asked != "" {
			f.Set("requested_life", asked)
		}
		var got exchange.Response
		if err := json.Unmarshal(post(t, h, f.Encode()).Body.Bytes(), &got); err != nil || got.ExpiresIn != want {
			t.Errorf("asked %q: %d s, %v; want %d", asked, got.ExpiresIn, err, want)
		}
	}
}

func TestAClusterThatAsksTooOftenWaits(t *testing.T) {
	busy, quiet := newComputeCluster(t, "k14c1"), newComputeCluster(t, "k14c2")
	h := newHandler(t, "", busy, quiet)
	now := time.Now()
	h.now = func() time.Time { return now } // no token comes back to the bucket
	credential := busy.credential(t, "bulkhead-sidecar", nil)
	for i := range DefaultRateLimit().Burst {
		if w := post(t, h, form(credential).Encode()); w.Code != http.StatusOK {
			t.Fatalf("exchange %d: HTTP %d", i, w.Code)
		}
	}
	w := post(t, h, form(credential).Encode())
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "1" {
		t.Errorf("HTTP %d, Retry-After %q; want 429 and 1", w.Code, w.Header().Get("Retry-After"))
	}
	// What one part of Bulkhead asks, and what any other Pod does, is not the
	// other's loss.
	for range DefaultRateLimit().Burst + 1 {
		if w := post(t, h, form(busy.credential(t, "some-pod", nil)).Encode()); w.Code != http.StatusBadRequest {
			t.Fatalf("HTTP %d for a Pod of no business", w.Code)
		}
	}
	if w := post(t, h, form(busy.credential(t, "bulkhead-webhook", nil)).Encode()); w.Code != http.StatusOK {
		t.Errorf("the webhook has to wait too: HTTP %d", w.Code)
	}
	now = now.Add(time.Second)
	if w := post(t, h, form(credential).Encode()); w.Code != http.StatusOK {
		t.Errorf("HTTP %d after the wait", w.Code)
	}
	if w := post(t, h, form(quiet.credential(t, "bulkhead-sidecar", nil)).Encode()); w.Code != http.StatusOK {
		t.Errorf("another cluster has to wait too: HTTP %d", w.Code)
	}
}

// A verified credential is remembered, and forgotten when it expires.
func TestAReplayedCredentialEndsWithItsExpiry(t *testing.T) {
	cluster := newComputeCluster(t, "k14c1")
	h := newHandler(t, "", cluster)
	now := time.Now()
	h.authenticator().now = func() time.Time { return now }
	h.authenticator().parser = jwt.NewParser(jwt.WithValidMethods(credentialAlgorithms), jwt.WithAudience(testIssuer),
		jwt.WithExpirationRequired(), jwt.WithTimeFunc(func() time.Time { return now }))
	body := form(cluster.credential(t, "bulkhead-sidecar", nil)).Encode()
	for range 2 {
		if w := post(t, h, body); w.Code != http.StatusOK {
			t.Fatalf("HTTP %d before the expiry", w.Code)
		}
	}
	now = now.Add(time.Hour + time.Second)
	if w := post(t, h, body); w.Code != http.StatusUnauthorized {
		t.Errorf("HTTP %d after the expiry, want 401", w.Code)
	}
}

// Any OAuth client that lets one set the parameters can exchange.
func TestAStandardOAuthClientGetsAToken(t *testing.T) {
	cluster := newComputeCluster(t, "k14c1")
	server := httptest.NewTLSServer(newHandler(t, "", cluster))
	defer server.Close()
	params := form(cluster.credential(t, "bulkhead-sidecar", nil))
	config := clientcredentials.Config{TokenURL: server.URL + exchange.TokenPath, EndpointParams: params, AuthStyle: oauth2.AuthStyleInParams}
	token, err := config.Token(context.WithValue(t.Context(), oauth2.HTTPClient, server.Client()))
	if err != nil {
		t.Fatal(err)
	}
	if token.AccessToken == "" || token.Type() != "Bearer" || time.Until(token.Expiry) > 10*time.Minute {
		t.Errorf("type %q, expiry %v", token.Type(), token.Expiry)
	}
}

// The parameters in the URL would end up in the logs of proxies.
func TestExchangeReadsNoParametersFromTheURL(t *testing.T) {
	cluster := newComputeCluster(t, "k14c1")
	h := newHandler(t, "", cluster)
	query := form(cluster.credential(t, "bulkhead-sidecar", nil)).Encode()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, exchange.TokenPath+"?"+query, nil))
	if w.Code != http.StatusBadRequest {
		t.Errorf("HTTP %d, want 400", w.Code)
	}
}

// E15: two clusters with the same `iss` are told apart by their keys alone.
func TestE15_TheKeySetIsTheCluster(t *testing.T) {
	one, two := newComputeCluster(t, "k14c1"), newComputeCluster(t, "k14c2")
	h := newHandler(t, "", one, two)
	for _, c := range []computeCluster{one, two} {
		w := post(t, h, form(c.credential(t, "bulkhead-sidecar", nil)).Encode())
		var got exchange.Response
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		var claims jwt.RegisteredClaims
		if _, _, err := jwt.NewParser().ParseUnverified(got.AccessToken, &claims); err != nil {
			t.Fatal(err)
		}
		if want := "@" + c.name; !strings.HasSuffix(claims.Subject, want) {
			t.Errorf("subject %q, want one that ends in %q", claims.Subject, want)
		}
	}
	// A key id is only a hint: the key of one cluster under the id of the other
	// verifies nothing.
	forged := one.credential(t, "bulkhead-sidecar", func(_ jwt.MapClaims, h map[string]any) { h["kid"] = "kid-of-k14c2" })
	if w := post(t, h, form(forged).Encode()); w.Code != http.StatusUnauthorized {
		t.Errorf("HTTP %d for a key id of another cluster, want 401", w.Code)
	}
}

// E4: neither credentials nor tokens reach the audit log or the log.
func TestE4_TheLogsHoldNoSecrets(t *testing.T) {
	var log bytes.Buffer
	logger := textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(&log), textlogger.Verbosity(10)))
	cluster := newComputeCluster(t, "k14c1")
	h := newHandler(t, "", cluster)
	var secrets []string
	for _, credential := range []string{cluster.credential(t, "bulkhead-sidecar", nil), cluster.credential(t, "default", nil), "garbage-credential"} {
		req := httptest.NewRequest(http.MethodPost, exchange.TokenPath, strings.NewReader(form(credential).Encode()))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req.WithContext(klog.NewContext(req.Context(), logger)))
		secrets = append(secrets, credential)
		var got exchange.Response
		if json.Unmarshal(w.Body.Bytes(), &got) == nil && got.AccessToken != "" {
			secrets = append(secrets, got.AccessToken)
		}
	}
	lines := strings.Count(h.audit.String(), "\n")
	if len(secrets) != 4 || lines != 3 {
		t.Fatalf("%d secrets and %d audit lines, want 3 credentials and 1 token, and 3 lines", len(secrets), lines)
	}
	for _, s := range secrets {
		signature := s[strings.LastIndex(s, ".")+1:]
		if strings.Contains(log.String(), signature) || strings.Contains(h.audit.String(), signature) {
			t.Error("a log holds a credential, a token or a signature")
		}
	}
}

// A token that nobody can account for is not handed out.
func TestNoAuditLogNoToken(t *testing.T) {
	cluster := newComputeCluster(t, "k14c1")
	h := newHandler(t, "", cluster)
	h.exchangeHandler.audit = newAuditLog(fullDisk{})
	w := post(t, h, form(cluster.credential(t, "bulkhead-sidecar", nil)).Encode())
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "access_token") {
		t.Errorf("HTTP %d: %s", w.Code, w.Body)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// Clients stay on their connection, and so with one replica, as long as it lasts.
func TestAReplicaThatCannotWriteItsAuditLogSendsItsCallersElsewhere(t *testing.T) {
	cluster := newComputeCluster(t, "k14c1")
	h := newHandler(t, "", cluster)
	var from []string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from = append(from, r.RemoteAddr)
		h.ServeHTTP(w, r)
	}))
	server.EnableHTTP2 = true       // as the issuer does
	ended := make(chan struct{}, 2) // of each connection
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			ended <- struct{}{}
		}
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	body := form(cluster.credential(t, "bulkhead-sidecar", nil)).Encode()
	for _, log := range []io.Writer{io.Discard, io.Discard, fullDisk{}, io.Discard} {
		h.exchangeHandler.audit = newAuditLog(log)
		response, err := server.Client().Post(server.URL+exchange.TokenPath, "application/x-www-form-urlencoded", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if response.ProtoMajor != 2 {
			t.Fatalf("it speaks %s", response.Proto)
		}
		if log == (fullDisk{}) {
			select {
			case <-ended:
			case <-time.After(10 * time.Second):
				t.Fatal("the connection does not end")
			}
		}
	}
	if from[0] != from[1] || from[1] != from[2] || from[2] == from[3] {
		t.Errorf("the requests came from %q, want the last alone from another", from)
	}
}

func TestALineThatADiskCutShortDoesNotRunIntoTheNext(t *testing.T) {
	const room = 100 // less than a line
	disk := &smallDisk{room: room}
	cluster := newComputeCluster(t, "k14c1")
	h := newHandler(t, "", cluster)
	h.exchangeHandler.audit = newAuditLog(disk)
	for _, step := range []struct {
		freed int
		want  int
	}{{0, http.StatusInternalServerError}, {0, http.StatusInternalServerError}, {1, http.StatusInternalServerError}, {1 << 20, http.StatusOK}, {0, http.StatusOK}} {
		disk.room += step.freed
		if w := post(t, h, form(cluster.credential(t, "bulkhead-sidecar", nil)).Encode()); w.Code != step.want {
			t.Errorf("with %d bytes freed: status %d, want %d", step.freed, w.Code, step.want)
		}
	}
	read := 0
	for line := range strings.Lines(disk.String()) {
		if json.Valid([]byte(line)) {
			read++
		}
	}
	if read != 2 {
		t.Errorf("%d lines can be read, want those of the 2 tokens:\n%s", read, disk)
	}
}

// smallDisk takes no more than it has room for.
type smallDisk struct {
	bytes.Buffer

	room int
}

func (d *smallDisk) Write(p []byte) (int, error) {
	n, _ := d.Buffer.Write(p[:min(len(p), d.room)])
	d.room -= n
	if n < len(p) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

func TestTheAuditLogTellsWhoGotWhat(t *testing.T) {
	cluster := newComputeCluster(t, "k14c1")
	h := newHandler(t, "", cluster)
	post(t, h, form(cluster.credential(t, "bulkhead-sidecar", nil)).Encode())
	post(t, h, form("garbage").Encode())
	lines := strings.Split(strings.TrimSpace(h.audit.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines, want 2", len(lines))
	}
	for i, want := range []map[string]string{
		{
			"result": "granted", "cluster": "k14c1", "serviceAccount": "bulkhead-system/bulkhead-sidecar",
			"credentialJTI": "credential-1", "namespace": "team-a", "uid": testUID, "subject": "team-a." + testUID + "@k14c1",
			"role": storage.TenantRole, "source": "192.0.2.1:1234",
		},
		{"result": exchange.InvalidClient, "cluster": "", "source": "192.0.2.1:1234", "reason": errCredential.Error() + ": it is no JWT"},
	} {
		var got map[string]any
		if err := json.Unmarshal([]byte(lines[i]), &got); err != nil {
			t.Fatal(err)
		}
		for key, value := range want {
			if got[key] != value {
				t.Errorf("line %d: %s is %v, want %q", i, key, got[key], value)
			}
		}
		for _, key := range []string{"time", map[bool]string{true: "jti", false: "reason"}[i == 0]} {
			if got[key] == nil || got[key] == "" {
				t.Errorf("line %d lacks %s", i, key)
			}
		}
	}
}

// refusing is a network that is not there.
type refusing struct{}

func (refusing) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("no network")
}

func unsigned(t *testing.T, credential string) string {
	t.Helper()
	token, parts, err := jwt.NewParser().ParseUnverified(credential, jwt.MapClaims{})
	if err != nil {
		t.Fatal(err)
	}
	none := jwt.NewWithClaims(jwt.SigningMethodNone, token.Claims)
	none.Header["kid"] = token.Header["kid"]
	signed, err := none.SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s%.0s", signed, parts[0])
}
