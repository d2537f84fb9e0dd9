package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
)

// Names of the chart's Deployments, and of their ServiceAccounts.
const (
	sidecarName = "bulkhead-sidecar"
	webhookName = "bulkhead-webhook"
)

// Installation is what an install differs in from the chart's defaults.
type Installation struct {
	// Values, in YAML, are laid over those that the environment needs.
	Values string
	// SidecarReplicas is how many replicas of the sidecar run, one if zero.
	SidecarReplicas int
	// SidecarArgs follow the chart's arguments, SidecarEnv is added to the
	// environment.
	SidecarArgs, SidecarEnv []string
	// SidecarSubstitutes run instead of the sidecar, by the number of the replica,
	// from 1.
	SidecarSubstitutes map[int]Substitute
	// WebhookReplicas is how many replicas of the webhook run, one if zero; several
	// start at once and are behind a Balancer. WebhookArgs follow the chart's
	// arguments.
	WebhookReplicas int
	WebhookArgs     []string
}

// Install installs Bulkhead in a compute cluster that is registered: it applies
// the rendered chart and starts the containers of its Deployments as processes,
// with the chart's arguments and the rights of the chart's ServiceAccounts. It
// returns when both are ready and the API server can call the webhook.
func (e *Environment) Install(ctx context.Context, c *Compute) error {
	return e.InstallAs(ctx, c, Installation{})
}

// InstallAs is Install with other values than the chart's.
func (e *Environment) InstallAs(ctx context.Context, c *Compute, how Installation) error {
	began := time.Now()
	r, err := e.renderChart(ctx, c, how.Values)
	if err != nil {
		return fmt.Errorf("install in %s: %w", c.Name, err)
	}
	if err := e.startWebhooks(ctx, c, r, how); err != nil {
		return fmt.Errorf("install in %s: %w", c.Name, err)
	}
	if err := e.startSidecars(ctx, c, r, how); err != nil {
		return fmt.Errorf("install in %s: %w", c.Name, err)
	}
	if err := c.waitForCABundles(ctx, r); err != nil {
		return fmt.Errorf("install in %s: %w", c.Name, err)
	}
	e.started(c.Name+": Bulkhead installed", began)
	return nil
}

// startWebhooks applies the chart and starts the replicas of the webhook.
func (e *Environment) startWebhooks(ctx context.Context, c *Compute, r *release, how Installation) error {
	replicas := max(1, how.WebhookReplicas)
	ports, err := freePorts.pick(2 * replicas)
	if err != nil {
		return err
	}
	c.WebhookAddresses = make([]string, replicas)
	for i := range replicas {
		c.WebhookAddresses[i] = loopback(ports[i])
	}
	front := c.WebhookAddresses[0]
	var balancer *Balancer
	if replicas > 1 {
		if balancer, err = NewBalancer(); err != nil {
			return err
		}
		context.AfterFunc(e.life, balancer.Close) //nolint:contextcheck // it lives as long as the environment
		front = balancer.Address()
	}
	if err := r.useURL(front); err != nil {
		return err
	}
	if err := c.applyObjects(ctx, append([]*unstructured.Unstructured{namespaceObject(releaseNamespace)}, r.objects...)); err != nil {
		return err
	}
	c.Layout = r.layout()
	var specs []spec
	for i := range replicas {
		p := part{
			name: webhookName, path: e.cfg.Binaries.Webhook, endpoint: loopback(ports[replicas+i]), health: "/readyz",
			args: append([]string{"--address=" + c.WebhookAddresses[i], "--serving-names=127.0.0.1", "--shutdown-delay=0s"}, how.WebhookArgs...),
		}
		if replicas > 1 {
			p.replica = i + 1
		}
		what, err := e.productSpec(ctx, c, r, p)
		if err != nil {
			return err
		}
		specs = append(specs, what)
	}
	c.Webhooks = make([]*Process, replicas)
	group, starting := errgroup.WithContext(ctx)
	for i, what := range specs {
		group.Go(func() (err error) {
			c.Webhooks[i], err = e.supervisor.start(starting, what)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	c.Webhook = c.Webhooks[0]
	if balancer != nil {
		balancer.SpreadOver(c.WebhookAddresses...)
	}
	return nil
}

// UpgradeSidecar is a `helm upgrade` with other values for the sidecar: its rights
// and the flags of its processes change. The webhook runs on.
func (e *Environment) UpgradeSidecar(ctx context.Context, c *Compute, how Installation) error {
	r, err := e.renderChart(ctx, c, how.Values)
	if err != nil {
		return fmt.Errorf("upgrade in %s: %w", c.Name, err)
	}
	objects := slices.DeleteFunc(slices.Clone(r.objects), func(o *unstructured.Unstructured) bool {
		return slices.Contains(r.configurations, o)
	})
	if err := c.applyObjects(ctx, objects); err != nil {
		return fmt.Errorf("upgrade: %w", err)
	}
	c.Layout = r.layout()
	for _, p := range c.Sidecars {
		p.Stop()
		e.supervisor.forget(p)
	}
	if err := e.startSidecars(ctx, c, r, how); err != nil {
		return fmt.Errorf("upgrade in %s: %w", c.Name, err)
	}
	return nil
}

// startSidecars starts the replicas of the sidecar.
func (e *Environment) startSidecars(ctx context.Context, c *Compute, r *release, how Installation) error {
	replicas := max(1, how.SidecarReplicas)
	ports, err := freePorts.pick(replicas)
	if err != nil {
		return err
	}
	c.Sidecars = nil
	for i, port := range ports {
		p := part{
			name: sidecarName, path: e.cfg.Binaries.Sidecar, endpoint: loopback(port), health: "/healthz",
			args: slices.Clone(how.SidecarArgs), env: how.SidecarEnv, restarts: true,
		}
		if !slices.Contains(r.arguments[sidecarName], "--csi-address=") {
			p.args = append(p.args, "--csi-address="+c.CSISocket)
		}
		if replicas > 1 {
			p.replica = i + 1
		}
		what, err := e.productSpec(ctx, c, r, p)
		if err != nil {
			return err
		}
		what.path, what.args = how.SidecarSubstitutes[i+1].command(what.path, what.args)
		process, err := e.supervisor.start(ctx, what)
		if err != nil {
			return err
		}
		c.Sidecars = append(c.Sidecars, process)
	}
	c.Sidecar = c.Sidecars[0]
	return nil
}

func namespaceObject(name string) *unstructured.Unstructured {
	namespace := &unstructured.Unstructured{}
	namespace.SetAPIVersion("v1")
	namespace.SetKind("Namespace")
	namespace.SetName(name)
	return namespace
}

// part is one of the product's processes in a compute cluster.
type part struct {
	name             string // of the Deployment and its ServiceAccount
	path             string
	endpoint, health string // host:port and path of what tells it is ready
	args, env        []string
	restarts         bool
	// replica is its number among several, from 1; zero if it is alone.
	replica int
}

// productSpec is the process with the chart's arguments, followed by those that
// only a loopback needs: of a flag given twice the last counts.
func (e *Environment) productSpec(ctx context.Context, c *Compute, r *release, p part) (spec, error) {
	args, found := r.arguments[p.name]
	if !found {
		return spec{}, fmt.Errorf("the chart renders no Deployment %s", p.name)
	}
	kubeconfig, err := c.serviceAccountKubeconfig(ctx, releaseNamespace+"/"+p.name)
	if err != nil {
		return spec{}, err
	}
	credential, err := c.ServiceAccountToken(ctx, releaseNamespace, p.name, e.Storage.IssuerURL)
	if err != nil {
		return spec{}, err
	}
	args = append(slices.Clone(args),
		"--kubeconfig="+kubeconfig,
		"--http-endpoint="+p.endpoint,
		"--credential-file="+credential,
		"--issuer-ca-file="+e.Storage.IssuerCAFile,
	)
	what := spec{
		name: c.Name + "-" + p.name, path: p.path, args: append(args, p.args...), env: p.env,
		endpoint: "http://" + p.endpoint, restarts: p.restarts,
		ready: httpOK("http://" + p.endpoint + p.health),
	}
	if p.replica > 0 {
		what.name = fmt.Sprintf("%s-%d", what.name, p.replica)
		what.hostname = fmt.Sprintf("%s-%d", p.name, p.replica)
	}
	return what, nil
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
		err := Poll(ctx, readyTimeout, func(ctx context.Context) error {
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
