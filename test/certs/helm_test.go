package certs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	bulkheadcerts "github.com/bulkhead-dev/bulkhead/certs"
	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/actors"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// release is the chart as Helm itself installs it in a cluster without nodes. Its
// webhooks are replicas of certs.Self, with the rights of the chart's
// ServiceAccount.
type release struct {
	t     *testing.T
	admin *actors.ClusterAdmin
	helm  string
	chart string
	home  string
}

const required = "--set=issuer.url=https://issuer.example,storage.cluster=storage-1,storage.sdk.address=sdk.example:9020"

func newRelease(t *testing.T) *release {
	t.Helper()
	binaries, err := cluster.Build(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	compute, err := stage.Env.StartControlPlane(t.Context(), "k14c3")
	if err != nil {
		t.Fatal(err)
	}
	admin, err := actors.NewClusterAdmin(t.Context(), compute)
	if err != nil {
		t.Fatal(err)
	}
	return &release{t, admin, binaries.Helm, filepath.Join(binaries.Root, "charts/bulkhead"), t.TempDir()}
}

// run runs helm in the release's namespace.
func (r *release) run(args ...string) {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), r.helm, append(args,
		"--kubeconfig", r.admin.Compute.Kubeconfig, "--namespace", namespace)...)
	cmd.Env = append(os.Environ(), "HOME="+r.home)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		r.t.Fatalf("helm %s: %v\n%s", strings.Join(args, " "), err, &output)
	}
}

func (r *release) upgrade(args ...string) {
	r.t.Helper()
	r.run(append([]string{"upgrade", "--install", "bulkhead", r.chart, "--create-namespace", required}, args...)...)
}

// startReplicas starts the certificate part of the webhook's replicas.
func (r *release) startReplicas() (replicas []*bulkheadcerts.Self) {
	r.t.Helper()
	config := r.admin.Compute.RESTConfig()
	config.Impersonate.UserName = "system:serviceaccount:" + namespace + ":bulkhead-webhook"
	config.QPS = -1
	api, err := client.New(config, client.Options{})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, end := context.WithCancel(r.t.Context())
	var running sync.WaitGroup
	r.t.Cleanup(func() {
		end()
		running.Wait()
	})
	for range 2 {
		self, err := bulkheadcerts.NewSelf(api, bulkheadcerts.SelfConfig{
			Secret: tenancy.SecretRef{Namespace: namespace, Name: "bulkhead-webhook-ca"}, WebhookConfiguration: bulkhead,
			Names: []string{"bulkhead-webhook." + namespace + ".svc"}, CALife: bulkheadcerts.DefaultCALife,
			TrustDelay: bulkheadcerts.DefaultTrustDelay, Registry: prometheus.NewRegistry(),
		})
		if err != nil {
			r.t.Fatal(err)
		}
		running.Go(func() { _ = self.Start(ctx) })
		replicas = append(replicas, self)
	}
	for _, self := range replicas {
		within(r.t, patience, "become ready", func(context.Context) error { return self.Ready(nil) })
	}
	return replicas
}

// observer notes every version of both configurations that lacks a CA bundle.
type observer struct {
	mu       sync.Mutex
	versions int
	lacking  []string
}

func (r *release) observe() *observer {
	r.t.Helper()
	o := &observer{}
	api := r.admin.Compute.Client.AdmissionregistrationV1()
	options := metav1.ListOptions{FieldSelector: "metadata.name=" + bulkhead}
	mutating, err := api.MutatingWebhookConfigurations().Watch(r.t.Context(), options)
	if err != nil {
		r.t.Fatal(err)
	}
	validating, err := api.ValidatingWebhookConfigurations().Watch(r.t.Context(), options)
	if err != nil {
		r.t.Fatal(err)
	}
	var running sync.WaitGroup
	for _, changes := range []watch.Interface{mutating, validating} {
		running.Go(func() {
			for event := range changes.ResultChan() {
				o.note(event)
			}
		})
		r.t.Cleanup(changes.Stop)
	}
	return o
}

func (o *observer) note(event watch.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.versions++
	var lacking []string
	switch c := event.Object.(type) {
	case *admissionv1.MutatingWebhookConfiguration:
		for _, w := range c.Webhooks {
			if len(w.ClientConfig.CABundle) == 0 {
				lacking = append(lacking, w.Name)
			}
		}
	case *admissionv1.ValidatingWebhookConfiguration:
		for _, w := range c.Webhooks {
			if len(w.ClientConfig.CABundle) == 0 {
				lacking = append(lacking, w.Name)
			}
		}
	default:
		lacking = append(lacking, fmt.Sprintf("%T", c))
	}
	o.lacking = slices.Concat(o.lacking, lacking)
}

// take returns what was noted since the last time.
func (o *observer) take() (versions int, lacking []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	versions, lacking = o.versions, o.lacking
	o.versions, o.lacking = 0, nil
	return versions, lacking
}

func TestHelmDropsNoCABundle(t *testing.T) {
	r := newRelease(t)
	r.upgrade()
	running := r.startReplicas()
	want := theBundle(t, r.admin)
	o := r.observe()
	within(t, patience, "see both configurations", func(context.Context) error {
		if o.mu.Lock(); o.versions < 2 {
			defer o.mu.Unlock()
			return errors.New("not both yet")
		}
		o.mu.Unlock()
		return nil
	})
	o.take()
	for _, step := range []struct {
		what string
		do   func()
	}{
		{"upgrade", func() { r.upgrade("--set=webhook.timeoutSeconds=7") }},
		{"upgrade, applied by the client", func() { r.upgrade("--set=webhook.timeoutSeconds=8", "--server-side=false") }},
		{"upgrade, applied by the server again", func() {
			r.upgrade("--set=webhook.timeoutSeconds=9", "--server-side=true", "--force-conflicts")
		}},
		{"rollback", func() { r.run("rollback", "bulkhead", "1") }},
	} {
		step.do()
		// The webhooks of Helm's last write are seen.
		within(t, patience, step.what, func(context.Context) error {
			o.mu.Lock()
			defer o.mu.Unlock()
			if o.versions < 2 {
				return errors.New("the configurations have not changed")
			}
			return nil
		})
		if versions, lacking := o.take(); len(lacking) > 0 {
			t.Errorf("%s: of %d versions some lacked a CA bundle: %v", step.what, versions, lacking)
		}
		if theBundle(t, r.admin) != want {
			t.Errorf("%s: another bundle", step.what)
		}
	}

	// Replaced, nothing is kept, not even the CA in the Secret, and all is filled
	// again: the CA that signed comes back, and is rotated.
	r.upgrade("--set=webhook.timeoutSeconds=10", "--server-side=false", "--force-replace")
	waitForBundles(t, 15*time.Second, r.admin, func(bundle string) bool { return strings.Contains(bundle, want) })
	for _, self := range running {
		within(t, patience, "become ready again", func(context.Context) error { return self.Ready(nil) })
	}

	r.run("uninstall", "bulkhead")
	_, err := r.admin.Compute.Client.CoreV1().Secrets(namespace).Get(t.Context(), "bulkhead-webhook-ca", metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("after the uninstall the CA is still there: %v", err)
	}
}
