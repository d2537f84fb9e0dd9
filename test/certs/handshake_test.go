package certs

import (
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	bulkheadcerts "github.com/bulkhead-dev/bulkhead/certs"
	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/actors"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// configurations send claims of namespaces with a label to %s. They wait for long, as
// all of these tests do: a machine that stands still for seconds breaks no handshake.
const configurations = `{apiVersion: v1, kind: Namespace, metadata: {name: handshakes}}
---
{apiVersion: v1, kind: Secret, metadata: {name: ca, namespace: handshakes}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: handshakes}
webhooks: [{name: claims.handshakes.test, admissionReviewVersions: [v1], sideEffects: None, timeoutSeconds: 30,
  clientConfig: {url: "https://%[1]s/"}, namespaceSelector: {matchLabels: {handshakes: "true"}},
  rules: [{apiGroups: [""], apiVersions: [v1], resources: [persistentvolumeclaims], operations: [CREATE]}]}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: handshakes}
webhooks: [{name: claims.handshakes.test, admissionReviewVersions: [v1], sideEffects: None, timeoutSeconds: 30,
  clientConfig: {url: "https://%[1]s/"}, namespaceSelector: {matchLabels: {handshakes: "true"}},
  rules: [{apiGroups: [""], apiVersions: [v1], resources: [persistentvolumeclaims], operations: [CREATE]}]}]
`

// fleet are replicas of a webhook that allows everything and ends each connection
// after one call, so that each call of the API server is a handshake.
type fleet struct {
	balancer *cluster.Balancer
	// complaints are what the servers have to say of clients that refuse them.
	complaints complaints

	mu      sync.Mutex
	members []*member
}

type member struct {
	*bulkheadcerts.Self
	address string
	stop    func()
}

type complaints struct {
	mu   sync.Mutex
	said []string
}

// Write implements io.Writer for a log.
func (c *complaints) Write(line []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// Who goes away without a word does not complain.
	if text := string(line); strings.Contains(text, "certificate") {
		c.said = append(c.said, text)
	}
	return len(line), nil
}

func (f *fleet) addresses() (addresses []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.members {
		addresses = append(addresses, m.address)
	}
	return addresses
}

// newMember starts a replica. It is called by nobody yet.
func (f *fleet) newMember(t *testing.T, admin *actors.ClusterAdmin) *member {
	t.Helper()
	self, err := bulkheadcerts.NewSelf(admin.Client, bulkheadcerts.SelfConfig{
		Secret: tenancy.SecretRef{Namespace: "handshakes", Name: "ca"}, WebhookConfiguration: "handshakes",
		Names: []string{"127.0.0.1"}, CALife: bulkheadcerts.DefaultCALife, TrustDelay: trustDelay,
		Registry: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		Handler: &admission.Webhook{Handler: admission.HandlerFunc(func(context.Context, admission.Request) admission.Response {
			return admission.Allowed("")
		})},
		TLSConfig:         &tls.Config{GetCertificate: self.GetCertificate, MinVersion: tls.VersionTLS13},
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          log.New(&f.complaints, "", 0),
	}
	server.SetKeepAlivesEnabled(false)
	ctx, end := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = server.ServeTLS(listener, "", "") })
	running.Go(func() { _ = self.Start(ctx) })
	m := &member{self, listener.Addr().String(), func() {
		end()
		_ = server.Shutdown(context.WithoutCancel(ctx))
		running.Wait()
	}}
	t.Cleanup(m.stop)
	return m
}

// join waits until the replicas are ready and has them called besides the others.
func (f *fleet) join(t *testing.T, members ...*member) {
	t.Helper()
	for _, m := range members {
		within(t, patience, "become ready", func(context.Context) error { return m.Ready(nil) })
	}
	f.mu.Lock()
	f.members = append(f.members, members...)
	f.mu.Unlock()
	f.balancer.SpreadOver(f.addresses()...)
}

// leave has the oldest replica called no more and ends it, once those that were on the
// way to it have come: replicas have --shutdown-delay for that.
func (f *fleet) leave() {
	f.mu.Lock()
	oldest := f.members[0]
	f.members = f.members[1:]
	f.mu.Unlock()
	f.balancer.SpreadOver(f.addresses()...)
	<-time.After(time.Second)
	oldest.stop()
}

func TestNoHandshakeFailsWhileCAAndServingCertificatesAreReplaced(t *testing.T) {
	admin := stage.Admins[0]
	balancer, err := cluster.NewBalancer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(balancer.Close)
	f := &fleet{balancer: balancer}
	if err := admin.Compute.Apply(t.Context(), fmt.Appendf(nil, configurations, balancer.Address())); err != nil {
		t.Fatal(err)
	}
	ca := &authority{admin.Compute.Client, "handshakes", "ca", f.addresses}

	// All at once, and one CA.
	var first []*member
	for range replicas {
		first = append(first, f.newMember(t, admin))
	}
	f.join(t, first...)
	signer, waits, err := ca.signer(t.Context())
	if err != nil || waits {
		t.Fatal(waits, err)
	}
	if err := ca.signedBy(t.Context(), signer); err != nil {
		t.Fatal(err)
	}

	team, err := admin.NewTeam(t.Context(), "handshaken", func(ns *corev1.Namespace) {
		metav1.SetMetaDataLabel(&ns.ObjectMeta, "handshakes", "true")
	})
	if err != nil {
		t.Fatal(err)
	}
	callers := []*caller{
		startCaller(t, admin.Compute.Client, "handshakes", 0, f.addresses),
		startCaller(t, admin.Compute.Client, "handshakes", trustDelay/2, f.addresses),
	}
	// No class at all: Bulkhead's own webhook has nothing to do with them.
	none := ""
	l := startLoad(t, team, func(c *corev1.PersistentVolumeClaim) { c.Spec.StorageClassName = &none })
	ca.renew(t, "1")
	ca.rotate(t)
	ca.ask(t, bulkheadcerts.RenewServing, "2")
	ca.rotate(t)
	// Replicas come and go in the middle.
	old, _, err := ca.signer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ca.ask(t, bulkheadcerts.RotateCA, "")
	f.join(t, f.newMember(t, admin))
	f.leave()
	ca.waitForAnother(t, old)
	// The Secret is lost, and the chart puts it back.
	if old, _, err = ca.signer(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := admin.Compute.Client.CoreV1().Secrets("handshakes").Delete(t.Context(), "ca", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := admin.Compute.Apply(t.Context(), []byte("{apiVersion: v1, kind: Secret, metadata: {name: ca, namespace: handshakes}}")); err != nil {
		t.Fatal(err)
	}
	f.join(t, f.newMember(t, admin))
	ca.waitForAnother(t, old)
	l.finish(t)
	for _, c := range callers {
		c.finish(t)
	}
	f.complaints.mu.Lock()
	defer f.complaints.mu.Unlock()
	if len(f.complaints.said) > 0 {
		t.Errorf("%d clients refused a certificate; the first: %s", len(f.complaints.said), f.complaints.said[0])
	}
	if connections := balancer.Connections(); len(connections) == 0 {
		t.Error("nobody was called")
	} else {
		t.Logf("connections by replica: %v", connections)
	}
}
