package issuer

import (
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
		"not YAML":               {"{", "policy:"},
		"an unknown field":       {"storageCluster: s\nmaxlive: 1h", "maxlive"},
		"an unknown nested":      {"storageCluster: s\nclusters: [{name: a, keys: {}}]", "keys"},
		"no storage cluster":     {"clusters: []", "storageCluster"},
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
		if got := p.Clusters[0].MaxLife.Duration; got != c.want {
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
