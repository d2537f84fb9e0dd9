package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
)

// Names of the chart's Deployments, and of their ServiceAccounts.
const (
	sidecarName = "bulkhead-sidecar"
	webhookName = "bulkhead-webhook"
)

// Install installs Bulkhead in a compute cluster that is registered: it applies
// the rendered chart and starts the containers of its Deployments as processes,
// with the chart's arguments and the rights of the chart's ServiceAccounts. It
// returns when both are ready and the API server can call the webhook.
func (e *Environment) Install(ctx context.Context, c *Compute) error {
	began := time.Now()
	ports, err := freePorts.pick(3)
	if err != nil {
		return err
	}
	r, err := e.renderChart(ctx, c)
	if err != nil {
		return fmt.Errorf("install in %s: %w", c.Name, err)
	}
	if err := r.useURL(loopback(ports[0])); err != nil {
		return fmt.Errorf("install in %s: %w", c.Name, err)
	}
	namespace := &unstructured.Unstructured{}
	namespace.SetAPIVersion("v1")
	namespace.SetKind("Namespace")
	namespace.SetName(releaseNamespace)
	if err := c.applyObjects(ctx, append([]*unstructured.Unstructured{namespace}, r.objects...)); err != nil {
		return fmt.Errorf("install: %w", err)
	}
	if c.Webhook, err = e.startProduct(ctx, c, r, part{
		name: webhookName, path: e.cfg.Binaries.Webhook, endpoint: loopback(ports[1]), health: "/readyz",
		args: []string{"--address=" + loopback(ports[0]), "--serving-names=127.0.0.1"},
	}); err != nil {
		return fmt.Errorf("install in %s: %w", c.Name, err)
	}
	if c.Sidecar, err = e.startProduct(ctx, c, r, part{
		name: sidecarName, path: e.cfg.Binaries.Sidecar, endpoint: loopback(ports[2]), health: "/healthz",
		args: []string{"--csi-address=" + c.CSISocket},
	}); err != nil {
		return fmt.Errorf("install in %s: %w", c.Name, err)
	}
	if err := c.waitForCABundles(ctx, r); err != nil {
		return fmt.Errorf("install in %s: %w", c.Name, err)
	}
	e.started(c.Name+": Bulkhead installed", began)
	return nil
}

// part is one of the product's processes in a compute cluster.
type part struct {
	name             string // of the Deployment and its ServiceAccount
	path             string
	endpoint, health string // host:port and path of what tells it is ready
	args             []string
}

// startProduct starts the process with the chart's arguments, followed by those
// that only a loopback needs: of a flag given twice the last counts.
func (e *Environment) startProduct(ctx context.Context, c *Compute, r *release, p part) (*Process, error) {
	args, found := r.arguments[p.name]
	if !found {
		return nil, fmt.Errorf("the chart renders no Deployment %s", p.name)
	}
	kubeconfig, err := c.serviceAccountKubeconfig(ctx, releaseNamespace+"/"+p.name)
	if err != nil {
		return nil, err
	}
	credential, err := c.ServiceAccountToken(ctx, releaseNamespace, p.name, e.Storage.IssuerURL)
	if err != nil {
		return nil, err
	}
	args = append(args,
		"--kubeconfig="+kubeconfig,
		"--http-endpoint="+p.endpoint,
		"--credential-file="+credential,
		"--issuer-ca-file="+e.Storage.IssuerCAFile,
	)
	return e.supervisor.start(ctx, spec{
		name: c.Name + "-" + p.name, path: p.path, args: append(args, p.args...),
		ready: httpOK("http://" + p.endpoint + p.health),
	})
}

// waitForCABundles waits until the webhook has put its CA into each webhook
// configuration: until then the API server cannot call it.
func (c *Compute) waitForCABundles(ctx context.Context, r *release) error {
	client, err := dynamic.NewForConfig(c.config)
	if err != nil {
		return fmt.Errorf("wait for CA bundles: %w", err)
	}
	for _, configuration := range r.configurations {
		// The resource of both kinds is the kind in lower case and plural.
		resource := configuration.GroupVersionKind().GroupVersion().WithResource("validatingwebhookconfigurations")
		if configuration.GetKind() == "MutatingWebhookConfiguration" {
			resource.Resource = "mutatingwebhookconfigurations"
		}
		err := poll(ctx, readyTimeout, func(ctx context.Context) error {
			object, err := client.Resource(resource).Get(ctx, configuration.GetName(), metav1.GetOptions{})
			if err != nil {
				return err
			}
			webhooks, _, err := unstructured.NestedSlice(object.Object, "webhooks")
			if err != nil {
				return err
			}
			for _, entry := range webhooks {
				webhook, _ := entry.(map[string]any)
				if bundle, _, _ := unstructured.NestedString(webhook, "clientConfig", "caBundle"); bundle == "" {
					return errors.New("a webhook has no CA bundle")
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("wait for CA bundles of %s %s: %w", configuration.GetKind(), configuration.GetName(), err)
		}
	}
	return nil
}
