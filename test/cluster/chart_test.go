package cluster

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const renderedChart = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: bulkhead}
webhooks:
- name: a
  clientConfig: {service: {name: bulkhead-webhook, namespace: bulkhead-system, path: /validate}}
---
# a document with nothing in it
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: bulkhead-sidecar}
spec:
  template:
    spec:
      containers:
      - name: sidecar
        command: [/bulkhead/sidecar]
        args: ["--namespace=$(NS)", "--template=x-${namespace}", "--price=$$(NS)"]
        env:
        - {name: NS, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
---
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata: {name: bulkhead}
---
apiVersion: v1
kind: Service
metadata: {name: bulkhead-webhook}
`

func TestARenderedChartIsMadeToRunWithoutAKubelet(t *testing.T) {
	r, err := parseRelease([]byte(renderedChart))
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, object := range r.objects {
		kinds = append(kinds, object.GetKind())
	}
	if want := []string{"Service", "ValidatingWebhookConfiguration"}; !slices.Equal(kinds, want) {
		t.Errorf("applies %v, want %v", kinds, want)
	}
	want := []string{"--namespace=bulkhead-system", "--template=x-${namespace}", "--price=$(NS)"}
	if got := r.arguments["bulkhead-sidecar"]; !slices.Equal(got, want) {
		t.Errorf("arguments %q, want %q", got, want)
	}

	if err := r.useURL("127.0.0.1:1234"); err != nil {
		t.Fatal(err)
	}
	webhooks, _, err := unstructured.NestedSlice(r.configurations[0].Object, "webhooks")
	if err != nil {
		t.Fatal(err)
	}
	client := webhooks[0].(map[string]any)["clientConfig"].(map[string]any)
	if client["url"] != "https://127.0.0.1:1234/validate" || client["service"] != nil {
		t.Errorf("clientConfig %v", client)
	}
}

func TestAChartWhoseArgumentsOnlyAKubeletKnowsIsRefused(t *testing.T) {
	_, err := parseRelease([]byte(strings.ReplaceAll(renderedChart, "metadata.namespace", "status.podIP")))
	if err == nil || !strings.Contains(err.Error(), "variable NS") {
		t.Errorf("got %v", err)
	}
}
