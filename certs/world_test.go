package certs

import (
	"context"
	"crypto/x509"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

const (
	testLife  = 90 * 24 * time.Hour
	testDelay = 2 * time.Minute
)

func serviceNames() []string { return []string{"webhook.system.svc", "127.0.0.1"} }

var errCut = errors.New("no route to the API server")

// world is an API server with a clock. Its client, a fake one that checks
// resourceVersions, is shared by the replicas.
type world struct {
	t     *testing.T
	api   client.WithWatch
	clock *clocktesting.FakeClock
}

func newWorld(t *testing.T) *world {
	t.Helper()
	hook := func() admissionv1.WebhookClientConfig {
		return admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{Namespace: "system", Name: "webhook"}}
	}
	return &world{
		t: t, clock: clocktesting.NewFakeClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)),
		api: fake.NewClientBuilder().WithObjects(emptySecret(),
			&admissionv1.MutatingWebhookConfiguration{
				ObjectMeta: metav1.ObjectMeta{Name: "bulkhead"},
				Webhooks:   []admissionv1.MutatingWebhook{{Name: "a.b.c", ClientConfig: hook()}, {Name: "d.b.c", ClientConfig: hook()}},
			},
			&admissionv1.ValidatingWebhookConfiguration{
				ObjectMeta: metav1.ObjectMeta{Name: "bulkhead"},
				Webhooks:   []admissionv1.ValidatingWebhook{{Name: "a.b.c", ClientConfig: hook()}},
			}).Build(),
	}
}

// emptySecret is the one that the chart makes.
func emptySecret() *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: "ca"}}
}

// line is a replica's way to the API server.
type line struct {
	mu  sync.Mutex
	cut func(verb string, object client.Object) error
	// before runs before each call, with no lock held.
	before func()
}

func (l *line) set(cut func(verb string, object client.Object) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
}

func (l *line) call(verb string, object client.Object, do func() error) error {
	if l.before != nil {
		l.before()
	}
	l.mu.Lock()
	cut := l.cut
	l.mu.Unlock()
	if cut != nil {
		if err := cut(verb, object); err != nil {
			return err
		}
	}
	return do()
}

// replica starts a replica with a line of its own.
func (w *world) replica(changes ...func(*SelfConfig)) (*Self, *line) {
	w.t.Helper()
	l := &line{}
	through := interceptor.NewClient(w.api, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
			return l.call("get", o, func() error { return c.Get(ctx, key, o, options...) })
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, options ...client.UpdateOption) error {
			return l.call("update", o, func() error { return c.Update(ctx, o, options...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, options ...client.PatchOption) error {
			return l.call("patch", o, func() error { return c.Patch(ctx, o, p, options...) })
		},
	})
	cfg := SelfConfig{
		Secret: tenancy.SecretRef{Namespace: "system", Name: "ca"}, WebhookConfiguration: "bulkhead",
		Names: serviceNames(), CALife: testLife, TrustDelay: testDelay, Clock: w.clock, Registry: prometheus.NewRegistry(),
	}
	for _, change := range changes {
		change(&cfg)
	}
	s, err := NewSelf(through, cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	return s, l
}

// look makes the replicas look, each in turn, and wants no error but that another
// one was first.
func (w *world) look(replicas ...*Self) {
	w.t.Helper()
	for _, s := range replicas {
		for attempt := range 3 {
			wrote, err := s.look(w.t.Context())
			if err != nil {
				w.t.Fatalf("look: %v", err)
			}
			if !wrote {
				break
			}
			if attempt == 2 {
				w.t.Fatal("it writes again and again")
			}
		}
	}
}

// pass lets time pass while the replicas look.
func (w *world) pass(d time.Duration, replicas ...*Self) {
	w.t.Helper()
	for step := testDelay / looksPerDelay; d > 0; d -= step {
		w.clock.Step(min(step, d))
		w.look(replicas...)
		for i, s := range replicas {
			if err := w.trusts(s); err != nil {
				w.t.Fatalf("replica %d: %v", i, err)
			}
		}
	}
}

func (w *world) secret() *corev1.Secret {
	w.t.Helper()
	var secret corev1.Secret
	if err := w.api.Get(w.t.Context(), types.NamespacedName{Namespace: "system", Name: "ca"}, &secret); err != nil {
		w.t.Fatal(err)
	}
	return &secret
}

// edit changes the Secret by hand.
func (w *world) edit(change func(*corev1.Secret)) {
	w.t.Helper()
	secret := w.secret()
	change(secret)
	if err := w.api.Update(w.t.Context(), secret); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) request(annotation, value string) {
	w.t.Helper()
	w.edit(func(s *corev1.Secret) {
		if s.Annotations == nil {
			s.Annotations = map[string]string{}
		}
		s.Annotations[annotation] = value
	})
}

// state is what the Secret holds, without fault.
func (w *world) state() *state {
	w.t.Helper()
	st, err := parseState(w.secret().Data)
	if err != nil {
		w.t.Fatal(err)
	}
	return st
}

// bundles are those of all webhooks, of both configurations.
func (w *world) bundles() (all [][]*x509.Certificate) {
	w.t.Helper()
	both, err := readConfigurations(context.Background(), w.api, "bulkhead")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, c := range both {
		for _, bundle := range c.bundles {
			certificates, _ := decodeCertificates(bundle)
			all = append(all, certificates)
		}
	}
	return all
}

// setBundles writes a bundle everywhere, as somebody else.
func (w *world) setBundles(bundle []byte) {
	w.t.Helper()
	both, err := readConfigurations(w.t.Context(), w.api, "bulkhead")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, c := range both {
		if _, err := c.write(w.t.Context(), w.api, bundle); err != nil {
			w.t.Fatal(err)
		}
	}
}

// trusts reports what the API server has against what s serves.
func (w *world) trusts(s *Self) error {
	w.t.Helper()
	c, err := s.GetCertificate(nil)
	if err != nil {
		return err
	}
	for _, bundle := range w.bundles() {
		if err := verify(c, bundle, serviceNames(), w.clock.Now()); err != nil {
			return err
		}
	}
	return nil
}

// inBundles reports whether all, and whether any, of the webhooks trust it.
func (w *world) inBundles(c *x509.Certificate) (all, some bool) {
	w.t.Helper()
	all = true
	for _, bundle := range w.bundles() {
		here := slices.ContainsFunc(bundle, c.Equal)
		all, some = all && here, some || here
	}
	return all, some
}
