package certs

import (
	"bytes"
	"regexp"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestTheServingCertificateIsRenewedAtTwoThirdsOfItsLife(t *testing.T) {
	w := newWorld(t)
	s, _ := w.replica()
	w.look(s)
	first := s.serving.Load()
	w.clock.Step(leafLife*2/3 - time.Second)
	w.look(s)
	if s.serving.Load() != first {
		t.Error("renewed too early")
	}
	w.clock.Step(time.Second)
	w.look(s)
	if s.serving.Load() == first {
		t.Error("not renewed")
	}
	if err := w.trusts(s); err != nil {
		t.Error(err)
	}
}

func TestAnAdminAsksForServingCertificates(t *testing.T) {
	w := newWorld(t)
	a, _ := w.replica()
	b, _ := w.replica()
	w.look(a, b)
	for _, value := range []string{"1", "2"} {
		before := []any{a.serving.Load(), b.serving.Load()}
		w.request(RenewServing, value)
		w.look(a, b)
		if a.serving.Load() == before[0] || b.serving.Load() == before[1] {
			t.Error("a replica still serves the old one")
		}
		before = []any{a.serving.Load(), b.serving.Load()}
		w.look(a, b)
		if a.serving.Load() != before[0] || b.serving.Load() != before[1] {
			t.Error("renewed twice for one request")
		}
	}
}

// rotation follows a rotation that something has set off, to its end.
func rotation(t *testing.T, w *world, replicas ...*Self) {
	t.Helper()
	old := w.state().signer
	w.look(replicas...)
	next := w.state().next
	if next == nil {
		t.Fatal("no next CA")
	}
	if all, _ := w.inBundles(next.certificate); !all {
		t.Fatal("the next CA is not in every bundle")
	}
	w.pass(testDelay-testDelay/looksPerDelay, replicas...)
	for _, s := range replicas {
		if !old.signed(s.serving.Load().Leaf) || !w.state().signer.certificate.Equal(old.certificate) {
			t.Fatal("the next CA signs too early")
		}
	}
	w.pass(testDelay/2, replicas...)
	for _, s := range replicas {
		if !next.signed(s.serving.Load().Leaf) {
			t.Fatal("the next CA does not sign yet")
		}
	}
	for key, value := range w.secret().Data {
		if oldCert, oldKey, err := old.encode(); err != nil || string(value) == string(oldKey) || string(value) == string(oldCert) {
			t.Errorf("%s is still the old one's (%v)", key, err)
		}
	}
	if all, _ := w.inBundles(old.certificate); !all {
		t.Error("the old CA is not trusted any more, though what it signed may be served")
	}
	// The last leaf of the old CA may have been made just now.
	w.clock.Step(leafLife)
	w.look(replicas...)
	if all, _ := w.inBundles(old.certificate); !all {
		t.Error("the old CA went when a leaf of it could still live")
	}
	w.clock.Step(slack)
	w.look(replicas...)
	if _, some := w.inBundles(old.certificate); some {
		t.Error("the old CA stays trusted")
	}
	if st := w.state(); st.next != nil || len(st.previous) != 0 {
		t.Error("the rotation has no end")
	}
	for _, s := range replicas {
		if err := w.trusts(s); err != nil {
			t.Error(err)
		}
	}
}

func TestTheCAIsRotatedAtTwoThirdsOfItsLife(t *testing.T) {
	w := newWorld(t)
	a, _ := w.replica()
	b, _ := w.replica()
	w.look(a, b)
	w.clock.Step(testLife*2/3 - time.Second)
	w.look(a, b)
	if w.state().next != nil {
		t.Fatal("too early")
	}
	w.clock.Step(time.Second)
	rotation(t, w, a, b)
}

func TestAnAdminAsksForAnotherCA(t *testing.T) {
	w := newWorld(t)
	a, _ := w.replica()
	b, _ := w.replica()
	w.look(a, b)
	w.request(RotateCA, "")
	rotation(t, w, a, b)
	if _, still := w.secret().Annotations[RotateCA]; still {
		t.Error("the request was not taken off")
	}
}

func TestAShorterLifeAppliesToTheCAThatThereIs(t *testing.T) {
	w := newWorld(t)
	a, _ := w.replica(func(c *SelfConfig) { c.CALife = 10 * testLife })
	w.look(a)
	w.clock.Step(testLife)
	b, _ := w.replica()
	w.look(b)
	if w.state().next == nil {
		t.Error("no rotation")
	}
}

// What a replica has not seen for itself does not count.
func TestTheDelayBeginsAnewWhenSomebodyEmptiesTheBundles(t *testing.T) {
	w := newWorld(t)
	s, _ := w.replica()
	w.look(s)
	w.request(RotateCA, "x")
	w.look(s)
	w.pass(testDelay-time.Second, s)
	w.setBundles(nil)
	w.look(s)
	w.pass(testDelay-time.Second, s)
	if w.state().next == nil {
		t.Error("the next CA signs though it was away")
	}
	w.pass(testDelay, s)
	if w.state().next != nil {
		t.Error("the next CA never signs")
	}
}

func TestTheDelayBeginsAnewAfterAGap(t *testing.T) {
	w := newWorld(t)
	s, _ := w.replica()
	w.look(s)
	w.request(RotateCA, "x")
	w.look(s)
	w.clock.Step(testDelay + time.Second)
	w.look(s)
	if w.state().next == nil {
		t.Error("the next CA signs though nobody has looked in between")
	}
}

func TestOneBundleThatLacksTheNextCAHoldsItBack(t *testing.T) {
	w := newWorld(t)
	s, l := w.replica()
	w.look(s)
	l.set(func(verb string, o client.Object) error {
		if _, validating := o.(*admissionv1.ValidatingWebhookConfiguration); validating && verb == "patch" {
			return errCut
		}
		return nil
	})
	w.request(RotateCA, "x")
	for range 20 {
		if _, err := s.look(t.Context()); err == nil {
			t.Fatal("no error")
		}
		w.clock.Step(testDelay / looksPerDelay)
	}
	if w.state().next == nil {
		t.Error("the next CA signs though one configuration lacks it")
	}
	if err := w.trusts(s); err != nil {
		t.Error(err)
	}
}

func TestAnExpiredCAIsReplacedAtOnce(t *testing.T) {
	w := newWorld(t)
	a, _ := w.replica()
	w.look(a)
	w.clock.Step(2 * testLife)
	if a.Ready(nil) == nil {
		t.Error("ready with an expired certificate")
	}
	b, _ := w.replica()
	w.look(b, a)
	for _, s := range []*Self{a, b} {
		if err := w.trusts(s); err != nil {
			t.Error(err)
		}
	}
	if n := len(w.bundles()[0]); n != 1 {
		t.Errorf("%d CAs are trusted", n)
	}
}

// As docs/certificates.md says, for a CA whose key is known to others.
func TestAnAdminEndsTheTrustInTheOldCA(t *testing.T) {
	w := newWorld(t)
	a, _ := w.replica()
	b, _ := w.replica()
	w.look(a, b)
	old := w.state().signer
	w.request(RotateCA, "x")
	w.look(a, b)
	w.pass(2*testDelay, a, b)
	w.edit(func(s *corev1.Secret) {
		text := regexp.MustCompile(`(?m)^Trusted-Until:.*`).ReplaceAll(s.Data[previousCerts], []byte("Trusted-Until: 2000-01-01T00:00:00Z"))
		if bytes.Equal(text, s.Data[previousCerts]) {
			t.Fatal("there is no such line")
		}
		s.Data[previousCerts] = text
	})
	w.look(a, b, a)
	if _, some := w.inBundles(old.certificate); some {
		t.Error("the old CA is still trusted")
	}
	if len(w.state().previous) != 0 {
		t.Error("the old CA is still in the Secret")
	}
	for _, s := range []*Self{a, b} {
		if err := w.trusts(s); err != nil {
			t.Error(err)
		}
	}
}
