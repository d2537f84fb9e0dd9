package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"sync"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

func replica(t *testing.T, client kubernetes.Interface) *Self {
	t.Helper()
	s, err := NewSelf(client, SelfConfig{
		Secret: tenancy.SecretRef{Namespace: "system", Name: "ca"}, WebhookConfiguration: "bulkhead",
		Names: []string{"webhook.system.svc", "127.0.0.1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func configured() *fake.Clientset {
	return fake.NewClientset(
		&admissionv1.MutatingWebhookConfiguration{
			ObjectMeta: metav1.ObjectMeta{Name: "bulkhead"},
			Webhooks:   []admissionv1.MutatingWebhook{{Name: "a.b.c"}, {Name: "d.b.c"}},
		},
		&admissionv1.ValidatingWebhookConfiguration{
			ObjectMeta: metav1.ObjectMeta{Name: "bulkhead"}, Webhooks: []admissionv1.ValidatingWebhook{{Name: "a.b.c"}},
		})
}

// trusts reports whether a client that trusts the bundle accepts what s serves.
func trusts(t *testing.T, bundle []byte, s *Self, name string, now time.Time) error {
	t.Helper()
	served, err := s.GetCertificate(&tls.ClientHelloInfo{})
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(bundle) {
		t.Fatal("the bundle is not PEM")
	}
	_, err = served.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: now})
	return err
}

func bundles(t *testing.T, client kubernetes.Interface) (all [][]byte) {
	t.Helper()
	registration := client.AdmissionregistrationV1()
	m, err := registration.MutatingWebhookConfigurations().Get(t.Context(), "bulkhead", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	v, err := registration.ValidatingWebhookConfigurations().Get(t.Context(), "bulkhead", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range m.Webhooks {
		all = append(all, w.ClientConfig.CABundle)
	}
	for _, w := range v.Webhooks {
		all = append(all, w.ClientConfig.CABundle)
	}
	return all
}

func TestReplicasThatStartTogetherShareOneCA(t *testing.T) {
	client := configured()
	replicas := []*Self{replica(t, client), replica(t, client), replica(t, client)}
	var group sync.WaitGroup
	for _, s := range replicas {
		group.Go(func() {
			if err := s.ensure(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, bundle := range bundles(t, client) {
		for _, s := range replicas {
			for _, name := range []string{"webhook.system.svc", "127.0.0.1"} {
				if err := trusts(t, bundle, s, name, time.Now()); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			if err := s.Ready(nil); err != nil {
				t.Errorf("not ready: %v", err)
			}
		}
	}
}

func TestTheServingCertificateIsReplacedInTime(t *testing.T) {
	client := configured()
	s := replica(t, client)
	now := time.Now()
	s.now = func() time.Time { return now }
	if err := s.ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := s.serving.Load()
	now = now.Add(leafLife / 2)
	if err := s.ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.serving.Load() != first {
		t.Error("replaced after half its life")
	}
	now = now.Add(leafLife / 4)
	if err := s.ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.serving.Load() == first {
		t.Error("not replaced after three quarters of its life")
	}
	if err := trusts(t, bundles(t, client)[0], s, "127.0.0.1", now); err != nil {
		t.Error(err)
	}
}

func TestNotReadyWithoutWebhookConfigurations(t *testing.T) {
	s := replica(t, fake.NewClientset())
	if err := s.ensure(t.Context()); err == nil {
		t.Error("no error")
	}
	if s.Ready(nil) == nil {
		t.Error("ready although nothing trusts it")
	}
}

func TestABrokenCASecretIsNamedAndNotOverwritten(t *testing.T) {
	client := configured()
	broken := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: "ca"},
		Data:       map[string][]byte{corev1.TLSCertKey: []byte("x"), corev1.TLSPrivateKeyKey: []byte("y")},
	}
	if err := client.Tracker().Add(broken); err != nil {
		t.Fatal(err)
	}
	if err := replica(t, client).ensure(t.Context()); err == nil {
		t.Error("no error")
	}
	secret, err := client.CoreV1().Secrets("system").Get(t.Context(), "ca", metav1.GetOptions{})
	if err != nil || string(secret.Data[corev1.TLSCertKey]) != "x" {
		t.Errorf("the Secret was changed: %v", err)
	}
}
