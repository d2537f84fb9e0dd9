package creation

import (
	"context"
	"errors"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// Bulkhead is the chart with its defaults: the first layer and the webhook.
var Bulkhead = Kind{
	Name: "Bulkhead", cluster: "bulkhead", guards: true, asked: "bulkhead-bulkhead-webhook",
	start:   bulkhead(""),
	settled: leavesPlainClaimsAlone,
}

// WebhookAlone is Bulkhead as it is on API servers that have no policies.
var WebhookAlone = Kind{
	Name: "Bulkhead's webhook alone", cluster: "webhook", guards: true, asked: "webhook-bulkhead-webhook",
	start: bulkhead("firstLayer: {mutating: false, validating: false}"),
}

// bulkhead installs the chart with the log of an operator, not of a test.
func bulkhead(values string) func(context.Context, *Stage, string) (*cluster.Compute, error) {
	return func(ctx context.Context, s *Stage, name string) (*cluster.Compute, error) {
		compute, err := s.env.StartCompute(ctx, name)
		if err != nil {
			return nil, err
		}
		if _, err := s.env.Register(ctx, compute); err != nil {
			return nil, err
		}
		if values != "" {
			values = "\n  " + values
		}
		return compute, s.env.InstallAs(ctx, compute, cluster.Installation{Values: "webhook:\n  logLevel: 2" + values})
	}
}

// leavesPlainClaimsAlone fails if a plain claim is sent to the webhook, as it is
// until the policies know the class.
func leavesPlainClaimsAlone(ctx context.Context, c *Contender) error {
	asked := func() (float64, error) {
		return c.team.Admin.Compute.Webhook.MetricSum(ctx, "bulkhead_webhook_requests_total")
	}
	before, err := asked()
	if err != nil {
		return err
	}
	client, err := c.client(0)
	if err != nil {
		return err
	}
	if _, err := client.Create(ctx, Plain.object(c, "plain"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
		return err
	}
	after, err := asked()
	if err == nil && after != before {
		err = errors.New("a plain claim is sent to the webhook")
	}
	return err
}
