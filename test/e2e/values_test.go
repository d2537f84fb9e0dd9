package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// keyed is a claim with a key that rule A4 forbids.
const keyed = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: keyed, namespace: load, annotations: {parent: any}}
spec: {storageClassName: load, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
`

// changeValues upgrades with other values, and back: what they say is so, and what
// the webhook wrote into the chart's objects stays.
func changeValues(t *testing.T) {
	t.Helper()
	kept := writtenByTheWebhook(t)
	tag := map[string]any{"tag": secondVersion}
	for _, step := range []struct {
		values   map[string]any
		replicas int32
		answer   string // to the claim
		admitted bool
	}{
		{map[string]any{"image": tag, "webhook": map[string]any{
			"replicas": 3, "rules": map[string]any{"modes": map[string]any{"BH-A4": "warn"}},
		}}, 3, "Warning: ", true},
		{map[string]any{"image": tag}, 2, "BH-A4:", false},
	} {
		if err := stage.install(t.Context(), step.values); err != nil {
			t.Error(err)
			return
		}
		if err := webhookReady(t.Context(), step.replicas); err != nil {
			t.Error(err)
		}
		// Replicas of before answer until the API server has learnt that they go.
		err := cluster.Poll(t.Context(), podTimeout, func(ctx context.Context) error {
			output, err := stage.compute.Kubectl(ctx, keyed, "create", "--filename=-", "--dry-run=server")
			if (err == nil) != step.admitted || !strings.Contains(output, step.answer) {
				return fmt.Errorf("a claim with a forbidden key: %q", output)
			}
			return nil
		})
		if err != nil {
			t.Errorf("with %v: %v", step.values, err)
		}
		if now := writtenByTheWebhook(t); now != kept {
			t.Errorf("an upgrade changed what the webhook had written, from\n%s\nto\n%s", kept, now)
		}
	}
}

// writtenByTheWebhook is the CA and the list of classes in the configuration.
func writtenByTheWebhook(t *testing.T) string {
	t.Helper()
	configuration, err := stage.compute.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(t.Context(), "bulkhead", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var written strings.Builder
	for _, webhook := range configuration.Webhooks {
		if len(webhook.ClientConfig.CABundle) == 0 {
			t.Errorf("%s has no CA", webhook.Name)
		}
		written.Write(webhook.ClientConfig.CABundle)
		for _, condition := range webhook.MatchConditions {
			if condition.Name == "class-may-be-ours" {
				written.WriteString(condition.Expression)
			}
		}
	}
	return written.String()
}
