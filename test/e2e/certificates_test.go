package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

const caSecret = "bulkhead-webhook-ca"

// rotateCertificates replaces the serving certificates and then the CA, as
// docs/certificates.md tells admins to.
func rotateCertificates(t *testing.T) {
	t.Helper()
	before := served(t)
	kubectl(t, "", "--namespace="+namespace, "annotate", "secret", caSecret, "bulkhead.dev/renew-serving-certificates=e2e")
	waitServed(t, before, "serving certificate", func(is, was *x509.Certificate) bool { return is.SerialNumber.Cmp(was.SerialNumber) != 0 })
	before = served(t)
	kubectl(t, "", "--namespace="+namespace, "annotate", "secret", caSecret, "bulkhead.dev/rotate-ca=now")
	waitServed(t, before, "CA", func(is, was *x509.Certificate) bool { return !bytes.Equal(is.AuthorityKeyId, was.AuthorityKeyId) })

	configuration, err := stage.compute.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(t.Context(), "bulkhead", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, webhook := range configuration.Webhooks {
		if cas := bytes.Count(webhook.ClientConfig.CABundle, []byte("BEGIN CERTIFICATE")); cas != 2 {
			t.Errorf("%s trusts %d CAs, want the new one and still the old one", webhook.Name, cas)
		}
	}
}

// waitServed waits until every replica serves another certificate than before.
func waitServed(t *testing.T, before map[string]*x509.Certificate, what string, differ func(is, was *x509.Certificate) bool) {
	t.Helper()
	err := cluster.Poll(t.Context(), trustDelay+time.Minute, func(ctx context.Context) error {
		for pod, is := range servedNow(ctx, t) {
			if was := before[pod]; was == nil || is == nil || !differ(is, was) {
				return errors.New(pod + " has the old one")
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("another %s: %v", what, err)
	}
}

// served are the certificates of the webhook's Pods, by their names.
func served(t *testing.T) map[string]*x509.Certificate {
	t.Helper()
	all := servedNow(t.Context(), t)
	if len(all) != 2 {
		t.Fatalf("%d Pods of the webhook", len(all))
	}
	for pod, certificate := range all {
		if certificate == nil {
			t.Fatalf("%s does not answer", pod)
		}
	}
	return all
}

// servedNow has nil for a Pod that does not answer.
func servedNow(ctx context.Context, t *testing.T) map[string]*x509.Certificate {
	t.Helper()
	all := map[string]*x509.Certificate{}
	for _, name := range webhooks(ctx, t) {
		pod, err := stage.compute.Client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil || pod.DeletionTimestamp != nil {
			continue // it goes
		}
		// What it serves is looked at; the API server is who verifies it.
		dialer := &tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}}
		all[name] = nil
		connection, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(pod.Status.PodIP, "9443"))
		if err != nil {
			continue
		}
		all[name] = connection.(*tls.Conn).ConnectionState().PeerCertificates[0]
		_ = connection.Close()
	}
	return all
}
