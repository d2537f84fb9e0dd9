package issuer

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestParsePolicyRefuses(t *testing.T) {
	keys := func(c computeCluster) string {
		raw, err := json.Marshal(c.jwks())
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	one, two := keys(newComputeCluster(t, "one")), keys(newComputeCluster(t, "two"))
	private, err := json.Marshal(map[string]any{"keys": []any{map[string]any{
		"kty": "EC", "crv": "P-256", "kid": "p",
		"x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
		"d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI", // RFC 7515, appendix A.3.1
	}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ policy, want string }{
		"not YAML":                  {"{", "line 1"},
		"an unknown field":          {"storageCluster: s\nmaxlive: 1h", "line 2: field maxlive"},
		"an unknown nested":         {"storageCluster: s\nclusters: [{name: a, keys: {}}]", "keys"},
		"no storage cluster":        {"clusters: []", "line 1: storageCluster"},
		"nothing":                   {"", "empty"},
		"a field twice":             {"storageCluster: s\nstorageCluster: t", "line 2"},
		"two documents":             {"storageCluster: s\n---\nstorageCluster: t", "one YAML document"},
		"a life beyond a day":       {"storageCluster: s\nmaxLife: 8760h", "line 2: maxLife"},
		"a secret as a key":         {"storageCluster: s\nclusters:\n- name: a\n  jwks: {keys: [{kty: oct, kid: k, k: c2VjcmV0}]}", "line 4: clusters[0].jwks"},
		"a key that is no key":      {"storageCluster: s\nclusters:\n- name: a\n  jwks: {keys: [{kty: EC}]}", "line 4"},
		"keys and discovery":        {"storageCluster: s\nclusters:\n- name: a\n  discovery: https://a.example\n  jwks: " + one, "line 4: clusters[0].discovery"},
		"a glob that is none":       {"storageCluster: s\nclusters:\n- name: a\n  jwks: " + one + "\n  namespaces: {deny: ['[']}", "line 5: clusters[0].namespaces"},
		"a claim that decides":      {"storageCluster: s\nclusters:\n- name: a\n  jwks: " + one + "\n  claims: {roles: system.admin}", "line 5: clusters[0].claims.roles"},
		"a claim in capitals":       {"storageCluster: s\nclusters:\n- name: a\n  jwks: " + one + "\n  claims: {GROUPS: '*'}", "line 5: clusters[0].claims.GROUPS"},
		"a claim with a long s":     {"storageCluster: s\nclusters:\n- name: a\n  jwks: " + one + "\n  claims: {\u017fub: x}", "line 5: clusters[0].claims"},
		"half a rate limit":         {"storageCluster: s\nclusters:\n- name: a\n  jwks: " + one + "\n  rateLimit: {burst: 1}", "line 5: clusters[0].rateLimit"},
		"a limit that is no number": {"storageCluster: s\nrateLimit: {perSecond: .nan, burst: 1}", "line 2: rateLimit"},
		"one discovery URL twice":   {"storageCluster: s\nclusters:\n- {name: a, discovery: 'https://a.example'}\n- {name: b, discovery: 'https://A.example/'}", "line 4: clusters[1].discovery"},
		"a key id twice":            {"storageCluster: s\nclusters: [{name: a, jwks: {keys: [" + strings.TrimSuffix(strings.TrimPrefix(one, `{"keys":[`), "]}") + "," + strings.TrimSuffix(strings.TrimPrefix(one, `{"keys":[`), "]}") + "]}}]", "twice"},
		"an empty cluster":          {"storageCluster: s\nclusters: [null]", "clusters[0]"},
		"a short RSA key":           {"storageCluster: s\nclusters:\n- name: a\n  jwks: {keys: [{kty: RSA, kid: k, e: AQAB, n: " + base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{0xff}, 64)) + "}]}", "512 bits"},
		"an encryption key":         {"storageCluster: s\nclusters: [{name: a, jwks: " + strings.Replace(one, `"kty"`, `"use":"enc","kty"`, 1) + "}]", "signatures"},
		"a ServiceAccount twice": {"storageCluster: s\nclusters: [{name: a, jwks: " + one +
			", serviceAccounts: [{namespace: n, name: s, role: r}, {namespace: n, name: s, role: q}]}]", "twice"},
		"a life that is short":   {"storageCluster: s\nmaxLife: 1s", "maxLife"},
		"a life that is no time": {"storageCluster: s\nmaxLife: soon", "soon"},
		"no name":                {"storageCluster: s\nclusters: [{jwks: " + one + "}]", "name"},
		"a name with an at sign": {"storageCluster: s\nclusters: [{name: a@b, jwks: " + one + "}]", "a@b"},
		"no keys":                {"storageCluster: s\nclusters: [{name: a}]", "register"},
		"a private key":          {"storageCluster: s\nclusters: [{name: a, jwks: " + string(private) + "}]", "public"},
		"a name twice":           {"storageCluster: s\nclusters: [{name: a, jwks: " + one + "}, {name: a, jwks: " + two + "}]", "taken"},
		"E15, a key twice":       {"storageCluster: s\nclusters: [{name: a, jwks: " + one + "}, {name: b, jwks: " + one + "}]", "share"},
		"a role of the storage's": {"storageCluster: s\nclusters: [{name: a, jwks: " + one +
			", serviceAccounts: [{namespace: n, name: s, role: system.admin}]}]", "system.admin"},
		"a ServiceAccount without role": {"storageCluster: s\nclusters: [{name: a, jwks: " + one +
			", serviceAccounts: [{namespace: n, name: s}]}]", "role"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParsePolicy([]byte(c.policy))
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q does not name %q", err, c.want)
			}
		})
	}
}

func TestLifeIsTheLeastOfClusterAndPolicy(t *testing.T) {
	keys, err := json.Marshal(newComputeCluster(t, "k").jwks())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		lives string
		want  time.Duration
	}{
		"neither says":          {"clusters: [{name: a, ", DefaultLife},
		"the policy alone":      {"maxLife: 20m\nclusters: [{name: a, ", 20 * time.Minute},
		"the cluster asks less": {"maxLife: 20m\nclusters: [{name: a, maxLife: 5m, ", 5 * time.Minute},
		"the cluster asks more": {"maxLife: 20m\nclusters: [{name: a, maxLife: 5h, ", 20 * time.Minute},
	} {
		p, err := ParsePolicy([]byte("storageCluster: s\n" + c.lives + "jwks: " + string(keys) + "}]"))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := p.Clusters[0].MaxLife; got != c.want {
			t.Errorf("%s: life %v, want %v", name, got, c.want)
		}
	}
}

func TestStanzaIsAPolicyEntry(t *testing.T) {
	jwks, err := json.Marshal(newComputeCluster(t, "k14c1").jwks())
	if err != nil {
		t.Fatal(err)
	}
	stanza, err := Stanza("k14c1", jwks)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ParsePolicy([]byte("storageCluster: s\nclusters:\n" + stanza))
	if err != nil {
		t.Fatalf("%v in\n%s", err, stanza)
	}
	if len(p.Clusters) != 1 || p.Clusters[0].Name != "k14c1" || len(p.Clusters[0].JWKS.Keys) != 1 {
		t.Errorf("read back as %+v", p.Clusters)
	}
	if _, err := Stanza("Not A Name", jwks); err == nil {
		t.Error("a bad cluster name was accepted")
	}
}

func TestDiscoveryIsForPublicIssuersAlone(t *testing.T) {
	for url, ok := range map[string]bool{
		"https://oidc.example.com/id/1":                  true,
		"https://oidc.example.com:8443":                  true,
		"http://oidc.example.com":                        false,
		"https://kubernetes.default.svc.cluster.local":   false,
		"https://kubernetes.default.svc":                 false,
		"https://kubernetes.default.svc.":                false,
		"https://KUBERNETES.default.SVC":                 false,
		"https://kubernetes":                             false,
		"https://localhost:6443":                         false,
		"https://api.localhost":                          false,
		"https://10.0.0.1":                               false,
		"https://[::1]":                                  false,
		"https://metadata.google.internal":               false,
		"https://printer.local":                          false,
		"https://kubernetes.default":                     false,
		"https://kubernetes.default.svc.k8s.corp":        false,
		"https://kubernetes.default.svc.cluster.local..": false,
		"https://localhost.localdomain":                  false,
		"https://127.1":                                  false,
		"https://0x7f.1":                                 false,
		"https://[fe80::1%25eth0.1]":                     false,
		"https://user@oidc.example.com":                  false,
		"https://oidc.example.com?x=1":                   false,
		"oidc.example.com":                               false,
	} {
		if err := checkDiscoveryURL(url); (err == nil) != ok {
			t.Errorf("%s: %v, want ok %v", url, err, ok)
		}
	}
}

func TestAnEmptyListOfServiceAccountsMeansNobody(t *testing.T) {
	keys, err := json.Marshal(newComputeCluster(t, "k").jwks())
	if err != nil {
		t.Fatal(err)
	}
	for list, want := range map[string]bool{"": true, ", serviceAccounts: []": false} {
		p, err := ParsePolicy([]byte("storageCluster: s\nclusters: [{name: a, jwks: " + string(keys) + list + "}]"))
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := p.Clusters[0].account("bulkhead-system", "bulkhead-sidecar"); ok != want {
			t.Errorf("with %q the sidecar may ask: %v", list, ok)
		}
	}
}

func TestFiltersAdmitByGlobs(t *testing.T) {
	f := Filter{Allow: []string{"team-*", "shop"}, Deny: []string{"team-x"}}
	for name, want := range map[string]bool{"team-a": true, "shop": true, "team-x": false, "bank": false, "shopping": false} {
		if got := f.admits(name); got != want {
			t.Errorf("%s: admits %v, want %v", name, got, want)
		}
	}
	if (Filter{Allow: []string{}}).admits("anything") {
		t.Error("an empty list of what is allowed admits something")
	}
	if !(Filter{}).admits("anything") || (Filter{Deny: []string{"*"}}).admits("anything") {
		t.Error("an empty filter admits everything, a denied * nothing")
	}
}
