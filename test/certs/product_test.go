package certs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/test/actors"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

const (
	namespace = "bulkhead-system"
	bulkhead  = "bulkhead" // the webhook configurations
)

// installed is the CA of the chart.
func installed(admin *actors.ClusterAdmin) *authority {
	return &authority{admin.Compute.Client, namespace, "bulkhead-webhook-ca", func() []string { return admin.Compute.WebhookAddresses }}
}

// The replicas of the stage were started at once.
func TestReplicasThatStartAtOnceHaveOneCA(t *testing.T) {
	admin := stage.Admins[0]
	ca := installed(admin)
	signer, waits, err := ca.signer(t.Context())
	if err != nil || waits {
		t.Fatal(waits, err)
	}
	if err := ca.signedBy(t.Context(), signer); err != nil {
		t.Error(err)
	}
	if theBundle(t, admin) != string(certificatePEM(signer)) {
		t.Error("the configurations do not trust that CA alone")
	}
}

// bundles are the CA bundles of both configurations, by kind and webhook.
func bundles(ctx context.Context, admin *actors.ClusterAdmin) (map[string]string, error) {
	var mutating admissionv1.MutatingWebhookConfiguration
	var validating admissionv1.ValidatingWebhookConfiguration
	key := types.NamespacedName{Name: bulkhead}
	if err := errors.Join(admin.Get(ctx, key, &mutating), admin.Get(ctx, key, &validating)); err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, w := range mutating.Webhooks {
		all["mutating "+w.Name] = string(w.ClientConfig.CABundle)
	}
	for _, w := range validating.Webhooks {
		all["validating "+w.Name] = string(w.ClientConfig.CABundle)
	}
	return all, nil
}

// mustBundles are bundles.
func mustBundles(t *testing.T, admin *actors.ClusterAdmin) map[string]string {
	t.Helper()
	all, err := bundles(t.Context(), admin)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// waitForBundles waits until each bundle is right, given what it should be or have
// in it.
func waitForBundles(t *testing.T, limit time.Duration, admin *actors.ClusterAdmin, right func(bundle string) bool) {
	t.Helper()
	within(t, limit, "fill the CA bundles", func(ctx context.Context) error {
		all, err := bundles(ctx, admin)
		if err != nil {
			return err
		}
		for webhook, bundle := range all {
			if !right(bundle) {
				return errors.New(webhook + " has another bundle")
			}
		}
		return nil
	})
}

// theBundle is that of all webhooks.
func theBundle(t *testing.T, admin *actors.ClusterAdmin) (bundle string) {
	t.Helper()
	all := mustBundles(t, admin)
	for _, bundle = range all {
		break
	}
	for webhook, other := range all {
		if other != bundle || bundle == "" {
			t.Fatalf("%s has no bundle, or another one than the others", webhook)
		}
	}
	return bundle
}

// empty takes the CA bundles out of both configurations.
func empty(t *testing.T, admin *actors.ClusterAdmin) {
	t.Helper()
	for _, object := range []client.Object{&admissionv1.MutatingWebhookConfiguration{}, &admissionv1.ValidatingWebhookConfiguration{}} {
		if err := admin.Get(t.Context(), types.NamespacedName{Name: bulkhead}, object); err != nil {
			t.Fatal(err)
		}
		patch := client.MergeFrom(object.DeepCopyObject().(client.Object))
		switch o := object.(type) {
		case *admissionv1.MutatingWebhookConfiguration:
			for i := range o.Webhooks {
				o.Webhooks[i].ClientConfig.CABundle = nil
			}
		case *admissionv1.ValidatingWebhookConfiguration:
			for i := range o.Webhooks {
				o.Webhooks[i].ClientConfig.CABundle = nil
			}
		}
		if err := admin.Patch(t.Context(), object, patch); err != nil {
			t.Fatal(err)
		}
	}
}

func newTeam(t *testing.T, admin *actors.ClusterAdmin, name string) *actors.Team {
	t.Helper()
	team, err := admin.NewTeam(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return team
}

func TestNoClaimIsRefusedWhileTheProductRotates(t *testing.T) {
	admin := stage.Admins[0]
	ca := installed(admin)
	calls := func() (n float64) {
		for _, p := range admin.Compute.Webhooks {
			served, err := p.MetricSum(t.Context(), "bulkhead_webhook_requests_total")
			if err != nil {
				t.Fatal(err)
			}
			n += served
		}
		return n
	}
	rotations := func(certificate string) (n float64) {
		for _, p := range admin.Compute.Webhooks {
			series, err := p.Metric(t.Context(), fmt.Sprintf("bulkhead_webhook_certificate_rotations_total{certificate=%q}", certificate))
			if err != nil {
				t.Fatal(err)
			}
			n += series
		}
		return n
	}
	team := newTeam(t, admin, "rotated")
	before, cas, leaves := calls(), rotations("ca"), rotations("serving")
	late := startCaller(t, admin.Compute.Client, bulkhead, trustDelay/2, func() []string { return admin.Compute.WebhookAddresses })
	l := startLoad(t, team)
	ca.renew(t, "1")
	ca.rotate(t)
	ca.rotate(t)
	ca.renew(t, "2")
	l.finish(t)
	late.finish(t)
	if n := calls() - before; n < float64(l.made) {
		t.Errorf("the webhook was called %v times for %d claims", n, l.made)
	}
	if n := rotations("ca") - cas; n != 2 {
		t.Errorf("%v rotations of the CA were counted, want 2", n)
	}
	if n := rotations("serving") - leaves; n != 4*replicas {
		t.Errorf("%v new serving certificates were counted, want %d", n, 4*replicas)
	}
	signer, _, err := ca.signer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, leaf := range ca.mustLeaves(t) {
		p := admin.Compute.Webhooks[i]
		for series, want := range map[string]float64{
			`bulkhead_webhook_certificate_expiry_timestamp_seconds{certificate="ca"}`:      float64(signer.NotAfter.Unix()),
			`bulkhead_webhook_certificate_expiry_timestamp_seconds{certificate="serving"}`: float64(leaf.NotAfter.Unix()),
			`bulkhead_webhook_ca_phase{phase="retiring"}`:                                  1,
			`bulkhead_webhook_ca_bundle_injected`:                                          1,
		} {
			within(t, patience, series, func(ctx context.Context) error {
				got, err := p.Metric(ctx, series)
				if err == nil && got != want {
					err = fmt.Errorf("it is %v, want %v", got, want)
				}
				return err
			})
		}
	}
}

// ready is what a replica says of itself.
func ready(ctx context.Context, p *cluster.Process) (bool, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.Endpoint+"/readyz", nil)
	if err != nil {
		return false, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return false, err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode == http.StatusOK, errors.Join(err, answer.Body.Close())
}

func TestEmptiedCABundlesAreFilledWithinSeconds(t *testing.T) {
	admin := stage.Admins[0]
	want := theBundle(t, admin)
	team := newTeam(t, admin, "emptied")
	// Each replica that reads them empty says so, but it may be another one that
	// was first to fill them.
	unready := make(chan struct{}, 1)
	ctx, end := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			for _, p := range admin.Compute.Webhooks {
				if is, err := ready(ctx, p); err == nil && !is {
					select {
					case unready <- struct{}{}:
					default:
					}
				}
			}
		}
	}()
	began := time.Now()
	empty(t, admin)
	waitForBundles(t, 10*time.Second, admin, func(bundle string) bool { return bundle == want })
	t.Logf("filled after %v", time.Since(began))
	within(t, 10*time.Second, "make a claim", func(ctx context.Context) error {
		return team.Create(ctx, team.Claim("after", waitingClass))
	})
	for _, p := range admin.Compute.Webhooks {
		within(t, patience, "become ready again", func(ctx context.Context) error {
			is, err := ready(ctx, p)
			if err == nil && !is {
				err = errors.New("not ready")
			}
			return err
		})
	}
	end()
	<-done
	select {
	case <-unready:
	default:
		t.Error("no replica said that the API server does not trust it")
	}
}

func TestTheWebhookMayDoNoMoreThanItMust(t *testing.T) {
	admin := stage.Admins[0]
	webhook := admin.Compute.Client
	config := admin.Compute.RESTConfig()
	config.Impersonate.UserName = "system:serviceaccount:bulkhead-system:bulkhead-webhook"
	api, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	secret := func(namespace, name string) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	}
	if _, err := webhook.CoreV1().Secrets(namespace).Create(t.Context(), secret(namespace, "other"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for what, try := range map[string]func(context.Context) error{
		"read another Secret": func(ctx context.Context) error {
			return api.Get(ctx, client.ObjectKeyFromObject(secret(namespace, "other")), &corev1.Secret{})
		},
		"list Secrets": func(ctx context.Context) error {
			return api.List(ctx, &corev1.SecretList{}, client.InNamespace(namespace))
		},
		"create a Secret":           func(ctx context.Context) error { return api.Create(ctx, secret(namespace, "another")) },
		"create a Secret of tokens": func(ctx context.Context) error { return api.Create(ctx, secret("bulkhead-tokens", "another")) },
		"delete the CA":             func(ctx context.Context) error { return api.Delete(ctx, secret(namespace, "bulkhead-webhook-ca")) },
		"read other configurations": func(ctx context.Context) error {
			return api.Get(ctx, types.NamespacedName{Name: "other"}, &admissionv1.MutatingWebhookConfiguration{})
		},
		"list configurations": func(ctx context.Context) error {
			return api.List(ctx, &admissionv1.ValidatingWebhookConfigurationList{})
		},
		"delete its configuration": func(ctx context.Context) error {
			return api.Delete(ctx, &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: bulkhead}})
		},
		"patch other configurations": func(ctx context.Context) error {
			return api.Patch(ctx, &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "other"}}, client.RawPatch(types.MergePatchType, []byte("{}")))
		},
	} {
		if err := try(t.Context()); !apierrors.IsForbidden(err) {
			t.Errorf("%s: %v, want that it is forbidden", what, err)
		}
	}
	if err := api.Get(t.Context(), client.ObjectKeyFromObject(secret(namespace, "bulkhead-webhook-ca")), &corev1.Secret{}); err != nil {
		t.Errorf("read the CA: %v", err)
	}
}
