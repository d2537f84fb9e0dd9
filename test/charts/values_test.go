package charts

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// node is a schema, as far as these tests read it.
type node struct {
	Ref                  string          `json:"$ref"`
	Type                 any             `json:"type"`
	Properties           map[string]node `json:"properties"`
	AdditionalProperties json.RawMessage `json:"additionalProperties"`
	Items                *node           `json:"items"`
	Definitions          map[string]node `json:"definitions"`
}

// UnmarshalJSON reads a schema; true and false are schemas without more.
func (n *node) UnmarshalJSON(raw []byte) error {
	type plain node
	if text := string(raw); text == "true" || text == "false" {
		return nil
	}
	return json.Unmarshal(raw, (*plain)(n))
}

// Every object of the schemas either lists its keys and allows no others, or is a
// map whose values have a schema.
func TestSchemasAreStrict(t *testing.T) {
	for _, chart := range charts() {
		var schema node
		if err := json.Unmarshal(read(t, "charts", chart, "values.schema.json"), &schema); err != nil {
			t.Fatal(err)
		}
		looked := 0
		var walk func(path string, n node)
		walk = func(path string, n node) {
			switch {
			// A public key of RFC 7517 has members that we need not know; Helm's own map.
			case strings.HasSuffix(path, "definitions.publicKey"), path == ".global":
				return
			case n.Properties != nil:
				looked++
				if string(n.AdditionalProperties) != "false" {
					t.Errorf("%s: %s takes unknown keys", chart, path)
				}
			case n.Type == "object" && len(n.AdditionalProperties) == 0:
				t.Errorf("%s: %s takes anything", chart, path)
			}
			for name, child := range n.Properties {
				walk(path+"."+name, child)
			}
			for name, child := range n.Definitions {
				walk(path+".definitions."+name, child)
			}
			if n.Items != nil {
				walk(path+"[]", *n.Items)
			}
		}
		walk("", schema)
		if looked < 10 {
			t.Errorf("%s: %d objects were looked at", chart, looked)
		}
	}
}

// Helm itself refuses a key that nobody knows, at every depth.
func TestUnknownValuesAreRefused(t *testing.T) {
	for _, chart := range charts() {
		var values map[string]any
		if err := yaml.Unmarshal(read(t, "charts", chart, "values.yaml"), &values); err != nil {
			t.Fatal(err)
		}
		// Maps of the admin's own keys.
		free := map[string]bool{
			"sidecar.nodeSelector": true, "webhook.nodeSelector": true, "nodeSelector": true, "webhook.rules.modes": true,
			"webhook.rules.exemptUsers": true, "service.annotations": true, "ingress.annotations": true,
			"monitoring.serviceMonitor.labels": true, "monitoring.prometheusRule.labels": true, "monitoring.dashboard.labels": true,
		}
		var paths []string
		var walk func(prefix string, m map[string]any)
		walk = func(prefix string, m map[string]any) {
			paths = append(paths, prefix+"unknownKey")
			for key := range maps.Keys(m) {
				path := prefix + key
				// Quantities are a map of any resource.
				if child, ok := m[key].(map[string]any); ok && !free[path] && key != "requests" && key != "limits" {
					walk(path+".", child)
				}
			}
		}
		walk("", values)
		if len(paths) < 10 {
			t.Errorf("%s: %d depths", chart, len(paths))
		}
		for _, path := range paths {
			_, err := template(t.Context(), chart, newestVersion, "--values", valueSets(t, chart)["plain"], "--set-string", path+"=x")
			if err == nil || !strings.Contains(err.Error(), "unknownKey") {
				t.Errorf("%s: %s: %v", chart, path, err)
			}
		}
	}
}

func TestWrongValuesAreRefusedInWords(t *testing.T) {
	for name, c := range map[string]struct{ chart, set, want string }{
		"no issuer":                         {"bulkhead", "issuer.url=", "issuer.url is missing"},
		"an issuer without TLS":             {"bulkhead", "issuer.url=http://issuer.example", "issuer/url"},
		"an issuer with a slash at the end": {"bulkhead", "issuer.url=https://issuer.example/", "issuer/url"},
		"no storage cluster":                {"bulkhead", "storage.cluster=", "storage.cluster is missing"},
		"no SDK":                            {"bulkhead", "storage.sdk.address=", "storage.sdk.address is missing"},
		"tokens beside the Pods":            {"bulkhead", "tokens.namespace=charts", "no Pod may run there"},
		"one Secret for all":                {"bulkhead", "tokens.secretTemplate=tokens", "all namespaces would share one Secret"},
		"a timeout that nobody grants":      {"bulkhead", "webhook.timeoutSeconds=31", "timeoutSeconds"},
		"an unknown mode":                   {"bulkhead", "webhook.rules.modes.BH-A4=maybe", "BH-A4"},
		"a log that has tokens":             {"bulkhead", "sidecar.logLevel=8", "logLevel"},
		"an account without its namespace":  {"bulkhead", "sidecar.serviceAccount=px-csi", "serviceAccount"},
		"a bundle for a plain connection":   {"bulkhead", "storage.sdk.tls=false,storage.sdk.caBundle=-----BEGIN CERTIFICATE-----", "storage.sdk.tls is false"},
		"no time between scrapes":           {"bulkhead", "monitoring.serviceMonitor.interval=", "interval"},

		"no URL":                                {"bulkhead-issuer", "url=", "url is missing"},
		"no certificate":                        {"bulkhead-issuer", "tls.secretName=", "tls.secretName is missing"},
		"two certificates":                      {"bulkhead-issuer", "tls.certManager.enabled=true,tls.certManager.issuerRef.name=ca", "want one"},
		"cert-manager without an issuer":        {"bulkhead-issuer", "tls.secretName=,tls.certManager.enabled=true", "tls.certManager.issuerRef.name is missing"},
		"an Ingress for an address":             {"bulkhead-issuer", "ingress.enabled=true,url=https://10.0.0.1", "an Ingress goes by names"},
		"a node port of a ClusterIP":            {"bulkhead-issuer", "service.nodePort=30000", "service.type is ClusterIP"},
		"a load balancer's class of none":       {"bulkhead-issuer", "service.loadBalancerClass=x", "service.type LoadBalancer"},
		"an address that is none":               {"bulkhead-issuer", "service.clusterIP=issuer", "clusterIP"},
		"an admin's token for no storage node":  {"bulkhead-issuer", "bootstrap.adminTokenSecret=x", "storage.endpoints"},
		"a private key in the policy":           {"bulkhead-issuer", "policy.clusters[0].name=a,policy.clusters[0].jwks.keys[0].kty=EC,policy.clusters[0].jwks.keys[0].kid=b,policy.clusters[0].jwks.keys[0].d=c", "policy/clusters/0"},
		"a cluster without keys":                {"bulkhead-issuer", "policy.clusters[0].name=a", "policy/clusters/0"},
		"the storage cluster's own, wide roles": {"bulkhead-issuer", "policy.clusters[0].name=a,policy.clusters[0].discovery=https://x,policy.clusters[0].serviceAccounts[0].namespace=a,policy.clusters[0].serviceAccounts[0].name=b,policy.clusters[0].serviceAccounts[0].role=system.admin", "policy/clusters/0"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := template(t.Context(), c.chart, newestVersion, "--values", valueSets(t, c.chart)["plain"], "--set", c.set)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
