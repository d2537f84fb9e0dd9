package issuer

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/exchange"
)

// serverOn is an issuer on files, which a test may change; reload stands for
// the next look at them.
func serverOn(t *testing.T, policy string) (s *server, write func(policy string)) {
	t.Helper()
	dir := t.TempDir()
	keys := DirStore(filepath.Join(dir, "keys"))
	if err := os.Mkdir(string(keys), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range firstKey(t) {
		if err := os.WriteFile(filepath.Join(string(keys), name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "policy.yaml")
	write = func(policy string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(policy), 0o600); err != nil {
			t.Fatal(err)
		}
		if s != nil {
			s.policy.again(t.Context()) // seen
			s.policy.again(t.Context()) // and seen to be settled
		}
	}
	write(policy)
	s, err := newServer(t.Context(), Config{IssuerURL: testIssuer, TokenIssuer: testIssuer, KeysDir: string(keys), PolicyFile: path}, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	return s, write
}

func policyFor(t *testing.T, more map[string]any, clusters ...computeCluster) string {
	t.Helper()
	var list []any
	for _, c := range clusters {
		entry := map[string]any{"name": c.name, "jwks": c.jwks()}
		for key, value := range more {
			entry[key] = value
		}
		list = append(list, entry)
	}
	raw, err := yaml.Marshal(map[string]any{"storageCluster": "storage-1", "clusters": list})
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestThePolicyIsReloaded(t *testing.T) {
	one, two := newComputeCluster(t, "k14c1"), newComputeCluster(t, "k14c2")
	good := policyFor(t, nil, one)
	s, write := serverOn(t, good)
	handler, err := s.publicHandler()
	if err != nil {
		t.Fatal(err)
	}
	status := func(c computeCluster) int {
		req := httptest.NewRequest(http.MethodPost, exchange.TokenPath, strings.NewReader(form(c.credential(t, "bulkhead-sidecar", nil)).Encode()))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, req)
		return w.Code
	}
	want := func(when string, first, second int) {
		t.Helper()
		if got := status(one); got != first {
			t.Errorf("%s: HTTP %d for k14c1, want %d", when, got, first)
		}
		if got := status(two); got != second {
			t.Errorf("%s: HTTP %d for k14c2, want %d", when, got, second)
		}
	}
	want("at first", 200, 401)
	write(policyFor(t, nil, one, two))
	want("with a second cluster", 200, 200)
	write("storageCluster: [")
	want("with a bad file", 200, 200)
	if got := testutil.ToFloat64(s.metrics.policyLoaded); got != 0 {
		t.Errorf("bulkhead_issuer_policy_loaded is %v after a bad file", got)
	}
	if err := os.Remove(s.cfg.PolicyFile); err != nil {
		t.Fatal(err)
	}
	s.policy.again(t.Context())
	want("without a file", 200, 200)
	write(policyFor(t, map[string]any{"suspended": true}, one, two))
	want("suspended", 400, 400)
	write(policyFor(t, nil, two))
	want("with the first removed", 401, 200)
	if got := testutil.ToFloat64(s.metrics.policyLoaded); got != 1 {
		t.Errorf("bulkhead_issuer_policy_loaded is %v after a good file", got)
	}
	if got := testutil.ToFloat64(s.metrics.clusters); got != 1 {
		t.Errorf("bulkhead_issuer_clusters is %v, want 1", got)
	}
}

func TestKeysAreReloadedAndPublished(t *testing.T) {
	s, _ := serverOn(t, policyFor(t, nil, newComputeCluster(t, "k14c1")))
	handler, err := s.publicHandler()
	if err != nil {
		t.Fatal(err)
	}
	published := func() int {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, exchange.JWKSPath, nil))
		if got := w.Header().Get("Cache-Control"); got != "no-store" {
			t.Errorf("Cache-Control is %q", got)
		}
		if strings.Contains(w.Body.String(), `"d"`) {
			t.Fatal("a private key is published")
		}
		return strings.Count(w.Body.String(), `"kid"`)
	}
	if got := published(); got != 1 {
		t.Fatalf("%d keys at first", got)
	}
	keys := &Keys{Store: DirStore(s.cfg.KeysDir), Now: s.now}
	if _, err := keys.Rotate(t.Context(), NewKey{Algorithm: "RS256"}, DefaultLead); err != nil {
		t.Fatal(err)
	}
	s.keys.again(t.Context())
	if got := published(); got != 1 {
		t.Errorf("%d keys: a version that may still be half written was taken over", got)
	}
	s.keys.again(t.Context())
	if got := published(); got != 2 {
		t.Errorf("%d keys after a rotation, want 2", got)
	}
	if err := os.WriteFile(filepath.Join(s.cfg.KeysDir, manifestName), []byte("keys: ["), 0o600); err != nil {
		t.Fatal(err)
	}
	s.keys.again(t.Context())
	s.keys.again(t.Context())
	if err := s.ready(); err != nil {
		t.Errorf("not ready at once: %v", err)
	}
	later := time.Now().Add(2 * staleKeys)
	s.now = func() time.Time { return later }
	if s.ready() == nil {
		t.Error("ready although its keys have been stale for minutes")
	}
	s.now = time.Now
	if got := published(); got != 2 || testutil.ToFloat64(s.metrics.keysLoaded) != 0 {
		t.Errorf("%d keys with a bad manifest, bulkhead_issuer_keys_loaded %v", got, testutil.ToFloat64(s.metrics.keysLoaded))
	}
}
