package certs

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestReplicasThatStartTogetherShareOneCA(t *testing.T) {
	w := newWorld(t)
	var replicas []*Self
	var group sync.WaitGroup
	for range 3 {
		s, _ := w.replica()
		replicas = append(replicas, s)
		group.Go(func() {
			for s.Ready(nil) != nil && t.Context().Err() == nil {
				if _, err := s.look(t.Context()); err != nil && !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	for _, s := range replicas {
		if err := w.trusts(s); err != nil {
			t.Error(err)
		}
	}
	if st := w.state(); st.next != nil || len(st.previous) != 0 {
		t.Errorf("more than one CA: %d previous", len(st.previous))
	}
}

func TestReadyOnlyAfterTheConfigurationsWereReadBack(t *testing.T) {
	w := newWorld(t)
	s, _ := w.replica()
	if wrote, err := s.look(t.Context()); err != nil || !wrote {
		t.Fatal(wrote, err)
	}
	if s.Ready(nil) == nil {
		t.Error("ready by what it has only written")
	}
	if wrote, err := s.look(t.Context()); err != nil || wrote {
		t.Fatal(wrote, err)
	}
	if err := s.Ready(nil); err != nil {
		t.Error(err)
	}
}

func TestNotReadyWithoutWebhookConfigurations(t *testing.T) {
	w := newWorld(t)
	if err := w.api.DeleteAllOf(t.Context(), &admissionv1.ValidatingWebhookConfiguration{}); err != nil {
		t.Fatal(err)
	}
	s, _ := w.replica()
	for range 3 {
		if _, err := s.look(t.Context()); err == nil {
			t.Error("no error")
		}
	}
	if s.Ready(nil) == nil {
		t.Error("ready although nothing trusts it")
	}
}

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

func TestEmptiedBundlesAreFilledAtTheNextLook(t *testing.T) {
	w := newWorld(t)
	s, _ := w.replica()
	w.look(s)
	want := w.bundles()
	w.setBundles(nil)
	w.look(s)
	if err := w.trusts(s); err != nil || len(want) != len(w.bundles()) {
		t.Error(err)
	}
}

func TestADeletedSecretComesBackAndIsRotated(t *testing.T) {
	w := newWorld(t)
	a, _ := w.replica()
	b, _ := w.replica()
	w.look(a, b)
	old := w.state().signer
	if err := w.api.Delete(t.Context(), w.secret()); err != nil {
		t.Fatal(err)
	}
	w.look(a, b)
	if !w.state().signer.certificate.Equal(old.certificate) {
		t.Error("the CA that signed is not kept")
	}
	rotation(t, w, a, b)
}

// All that is left of the old CA is its certificate in the bundles, and what
// another replica serves.
func TestADeletedSecretIsFirstSeenByANewReplica(t *testing.T) {
	w := newWorld(t)
	a, _ := w.replica()
	w.look(a)
	old := w.state().signer
	served := a.serving.Load()
	if err := w.api.Delete(t.Context(), w.secret()); err != nil {
		t.Fatal(err)
	}
	b, _ := w.replica()
	w.look(b, a)
	for _, s := range []*Self{a, b} {
		if err := w.trusts(s); err != nil {
			t.Error(err)
		}
	}
	if a.serving.Load() != served {
		t.Error("the old replica changed its certificate before the new CA had been trusted for long")
	}
	w.pass(2*testDelay, a, b)
	if a.serving.Load() == served {
		t.Error("the old replica never changes its certificate")
	}
	if all, _ := w.inBundles(old.certificate); !all {
		t.Error("the old CA was dropped")
	}
	w.clock.Step(leafLife + slack)
	w.look(a, b)
	if _, some := w.inBundles(old.certificate); some {
		t.Error("the old CA stays for ever")
	}
}

func TestADamagedSecretIsMended(t *testing.T) {
	for name, damage := range map[string]func(*corev1.Secret){
		"garbage":      func(s *corev1.Secret) { s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey] = []byte("x"), []byte("y") },
		"empty":        func(s *corev1.Secret) { s.Data = nil },
		"half written": func(s *corev1.Secret) { s.Data[corev1.TLSCertKey] = s.Data[nextCert] },
		"a key that is gone": func(s *corev1.Secret) {
			delete(s.Data, corev1.TLSPrivateKeyKey)
		},
		"not a CA": func(s *corev1.Secret) {
			st, _ := parseState(s.Data)
			leaf, err := st.signer.leaf([]string{"x"}, time.Now())
			if err != nil {
				panic(err)
			}
			ca := &authority{leaf.Leaf, st.signer.key}
			s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey], _ = ca.encode()
		},
		"next is garbage":     func(s *corev1.Secret) { s.Data[nextKey] = []byte("x") },
		"previous has no end": func(s *corev1.Secret) { s.Data[previousCerts] = s.Data[corev1.TLSCertKey] },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a, _ := w.replica()
			w.look(a)
			w.request(RotateCA, "x")
			w.look(a)
			old := w.state()
			w.edit(damage)
			w.look(a)
			st := w.state() // fails if it is still damaged
			if !st.signer.certificate.Equal(old.signer.certificate) {
				t.Error("another CA signs at once")
			}
			if all, _ := w.inBundles(old.signer.certificate); !all {
				t.Error("the old CA was dropped")
			}
			// A replica that starts now can serve.
			b, _ := w.replica()
			w.look(b)
			w.pass(2*testDelay, a, b)
		})
	}
}

func TestADamagedSecretWithNobodyWhoRemembers(t *testing.T) {
	w := newWorld(t)
	a, _ := w.replica()
	w.look(a)
	old := w.state().signer.certificate
	w.edit(func(s *corev1.Secret) { s.Data = map[string][]byte{corev1.TLSCertKey: []byte("x")} })
	b, _ := w.replica()
	w.look(b)
	if all, _ := w.inBundles(old); !all {
		t.Error("the old CA was dropped")
	}
	for _, s := range []*Self{a, b} {
		if err := w.trusts(s); err != nil {
			t.Error(err)
		}
	}
}

func TestAnAdminsOwnCAInTheSecret(t *testing.T) {
	w := newWorld(t)
	a, _ := w.replica()
	w.look(a)
	served := a.serving.Load()
	theirs, err := newAuthority(w.clock.Now(), testLife)
	if err != nil {
		t.Fatal(err)
	}
	w.edit(func(s *corev1.Secret) {
		if s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey], err = theirs.encode(); err != nil {
			t.Fatal(err)
		}
	})
	w.look(a)
	if a.serving.Load() != served {
		t.Error("their CA signs before it has been trusted")
	}
	w.pass(2*testDelay, a)
	if !theirs.signed(a.serving.Load().Leaf) {
		t.Error("their CA does not sign")
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

func TestAReplicaThatIsCutOffServesOn(t *testing.T) {
	for name, cut := range map[string]func(string, client.Object) error{
		"from everything": func(string, client.Object) error { return errCut },
		"from the Secret": func(_ string, o client.Object) error {
			if _, secret := o.(*corev1.Secret); secret {
				return errCut
			}
			return nil
		},
		"from the configurations": func(_ string, o client.Object) error {
			if _, secret := o.(*corev1.Secret); !secret {
				return errCut
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a, _ := w.replica()
			b, l := w.replica()
			w.look(a, b)
			l.set(cut)
			w.request(RotateCA, "x")
			for range 2 * int(leafLife/time.Hour) {
				w.clock.Step(time.Hour)
				// a sees both, at looks close enough to count.
				for range 2 * looksPerDelay {
					w.look(a)
					w.clock.Step(testDelay / looksPerDelay)
				}
				if _, err := b.look(t.Context()); err == nil {
					t.Fatal("no error")
				}
				if err := b.Ready(nil); err != nil {
					t.Fatal(err)
				}
				if all, _ := w.inBundles(b.issuer.certificate); !all {
					break // its time was up
				}
				if err := w.trusts(b); err != nil {
					t.Fatal(err)
				}
			}
			l.set(nil)
			w.look(b)
			if err := w.trusts(b); err != nil {
				t.Error(err)
			}
		})
	}
}

// Without a rotation a replica serves for as long as its CA lives, whatever has
// become of the Secret.
func TestAReplicaThatCannotReadTheSecretRenewsItsCertificate(t *testing.T) {
	w := newWorld(t)
	s, l := w.replica()
	w.look(s)
	l.set(func(string, client.Object) error { return errCut })
	for range 10 {
		w.clock.Step(leafLife * 2 / 3)
		if _, err := s.look(t.Context()); err == nil {
			t.Fatal("no error")
		}
		if err := w.trusts(s); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCertificatesAreMadeByTheAPIServersClock(t *testing.T) {
	w := newWorld(t)
	var off time.Duration
	wrong := func(c *SelfConfig) { c.Offset = func() time.Duration { return off } }
	a, _ := w.replica()
	w.look(a)
	// Its own clock is a year ahead, and it knows.
	ahead := newWorld(t)
	ahead.api = w.api
	ahead.clock.SetTime(w.clock.Now().Add(4 * testLife))
	off = -4 * testLife
	b, _ := ahead.replica(wrong)
	w.look(b)
	if st := w.state(); st.next != nil || len(st.previous) != 0 {
		t.Error("it rotates by its own clock")
	}
	if err := w.trusts(b); err != nil {
		t.Error(err)
	}
}

func TestServerClock(t *testing.T) {
	var c ServerClock
	local := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, step := range []struct {
		date string
		want time.Duration
	}{
		{"", 0},
		{"Sun, 01 Mar 2026 12:00:20 GMT", 0},
		{"Sun, 01 Mar 2026 11:00:00 GMT", -time.Hour},
		{"yesterday", -time.Hour},
		{"Sun, 01 Mar 2026 12:00:01 GMT", 0},
	} {
		if c.hear(step.date, local); c.Offset() != step.want {
			t.Errorf("after %q the offset is %v, want %v", step.date, c.Offset(), step.want)
		}
	}
}

func TestMetrics(t *testing.T) {
	w := newWorld(t)
	registry := prometheus.NewRegistry()
	s, l := w.replica(func(c *SelfConfig) { c.Registry = registry })
	w.look(s)
	want := func(phase string, leaf, ca time.Time) {
		t.Helper()
		value := map[string]string{phaseStable: "0", phaseAnnounced: "0", phaseRetiring: "0", phase: "1"}
		var text strings.Builder
		for _, p := range []string{phaseAnnounced, phaseRetiring, phaseStable} {
			text.WriteString(`bulkhead_webhook_ca_phase{phase="` + p + `"} ` + value[p] + "\n")
		}
		head := "# HELP bulkhead_webhook_ca_phase 1 for the phase that the CA is in: stable, announced (the next CA is trusted and does not sign yet), retiring (it signs, the old one is still trusted).\n# TYPE bulkhead_webhook_ca_phase gauge\n"
		if err := testutil.GatherAndCompare(registry, strings.NewReader(head+text.String()), "bulkhead_webhook_ca_phase"); err != nil {
			t.Error(err)
		}
		for name, at := range map[string]time.Time{"serving": leaf, "ca": ca} {
			if got := testutil.ToFloat64(s.metrics.expiry.WithLabelValues(name)); got != float64(at.Unix()) {
				t.Errorf("%s expires at %v, want %v", name, got, at.Unix())
			}
		}
	}
	began := w.clock.Now()
	want(phaseStable, began.Add(leafLife), began.Add(testLife))
	w.request(RotateCA, "x")
	w.look(s)
	want(phaseAnnounced, began.Add(leafLife), began.Add(testLife))
	w.pass(testDelay, s)
	want(phaseRetiring, w.clock.Now().Add(leafLife), began.Add(testLife))

	l.set(func(string, client.Object) error { return errCut })
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for testutil.ToFloat64(s.metrics.errors) == 0 && t.Context().Err() == nil {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	if err := s.Start(ctx); err != nil {
		t.Error(err)
	}
}

func TestBadConfigurationsAreRefused(t *testing.T) {
	good := func() SelfConfig {
		w := newWorld(t)
		s, _ := w.replica()
		return s.cfg
	}
	for name, spoil := range map[string]func(*SelfConfig){
		"no Secret":         func(c *SelfConfig) { c.Secret.Name = "" },
		"no names":          func(c *SelfConfig) { c.Names = nil },
		"no configurations": func(c *SelfConfig) { c.WebhookConfiguration = "" },
		"a short CA life":   func(c *SelfConfig) { c.CALife = leafLife },
		"no delay":          func(c *SelfConfig) { c.TrustDelay = 0 },
		"a long delay":      func(c *SelfConfig) { c.TrustDelay = leafLife },
	} {
		cfg := good()
		spoil(&cfg)
		cfg.Registry = prometheus.NewRegistry()
		if _, err := NewSelf(nil, cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// The first version kept one CA of ten years and nothing else in the Secret.
func TestTheSecretOfTheFirstVersionIsTakenOver(t *testing.T) {
	w := newWorld(t)
	ca, err := newAuthority(w.clock.Now(), 40*testLife)
	if err != nil {
		t.Fatal(err)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: "ca"}, Data: map[string][]byte{}}
	if secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey], err = ca.encode(); err != nil {
		t.Fatal(err)
	}
	if err := w.api.Create(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	s, _ := w.replica()
	w.look(s)
	if !ca.signed(s.serving.Load().Leaf) {
		t.Error("another CA signs")
	}
	w.clock.Step(testLife)
	rotation(t, w, s)
}
