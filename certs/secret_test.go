package certs

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// deleteSecret is what an admin does who wants to be rid of the CA.
func (w *world) deleteSecret() {
	w.t.Helper()
	if err := w.api.Delete(w.t.Context(), w.secret()); err != nil {
		w.t.Fatal(err)
	}
}

// applyChart is an upgrade, as far as the Secret goes.
func (w *world) applyChart() {
	w.t.Helper()
	if err := w.api.Create(w.t.Context(), emptySecret()); err != nil {
		w.t.Fatal(err)
	}
}

func TestADeletedSecretIsFilledAgainAndRotated(t *testing.T) {
	w := newWorld(t)
	a, _ := w.replica()
	b, _ := w.replica()
	w.look(a, b)
	old := w.state().signer
	w.deleteSecret()
	for range 10 {
		// No replica can make it, and all serve on.
		w.clock.Step(leafLife * 2 / 3)
		for _, s := range []*Self{a, b} {
			if _, err := s.look(t.Context()); !apierrors.IsNotFound(err) {
				t.Errorf("look: %v, want that the Secret is not found", err)
			}
			if err := w.trusts(s); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.applyChart()
	w.look(a, b)
	if !w.state().signer.certificate.Equal(old.certificate) {
		t.Error("the CA that signed is not kept")
	}
	rotation(t, w, a, b)
}

// startsIn lets a replica start where the Secret has no CA, though one is trusted,
// and wants that it waits for a while whether another one puts it back.
func (w *world) startsIn(s *Self) {
	w.t.Helper()
	for range looksForMemory {
		if _, err := s.look(w.t.Context()); err == nil || s.Ready(nil) == nil {
			w.t.Fatal("it makes a CA that others have not trusted for long")
		}
		w.clock.Step(s.interval())
	}
}

// An upgrade by replacement does that.
func TestSecretAndBundlesThatAreEmptiedTogetherAreFilledWithTheSameCA(t *testing.T) {
	w := newWorld(t)
	a, _ := w.replica()
	w.look(a)
	old := w.state().signer
	w.edit(func(s *corev1.Secret) { s.Data = nil })
	w.setBundles(nil)
	w.look(a)
	if all, _ := w.inBundles(old.certificate); !all {
		t.Error("the CA that signed was dropped")
	}
	rotation(t, w, a)
}

// It may have been cut off for long.
func TestARememberedCAThatNothingTrustsIsNotPutBack(t *testing.T) {
	w := newWorld(t)
	a, _ := w.replica()
	w.look(a)
	old := w.state().signer
	other, err := newAuthority(w.clock.Now(), testLife)
	if err != nil {
		t.Fatal(err)
	}
	w.edit(func(s *corev1.Secret) { s.Data = nil })
	w.setBundles(encodeCertificate(other.certificate, nil))
	w.look(a)
	if w.state().signer.certificate.Equal(old.certificate) {
		t.Error("it signs again")
	}
	if all, _ := w.inBundles(other.certificate); !all {
		t.Error("what others trust was dropped")
	}
}

func TestAReplicaThatStartsLeavesADeletedSecretToOthers(t *testing.T) {
	w := newWorld(t)
	a, _ := w.replica()
	w.look(a)
	old := w.state().signer
	w.deleteSecret()
	w.applyChart()
	b, _ := w.replica()
	w.startsIn(b)
	w.look(a, b)
	if !w.state().signer.certificate.Equal(old.certificate) || !old.signed(b.serving.Load().Leaf) {
		t.Error("the CA that signed is not kept")
	}
}

// All that is left of the old CA is its certificate in the bundles, and what
// another replica serves.
func TestADeletedSecretIsFilledByANewReplicaIfNobodyElseDoes(t *testing.T) {
	w := newWorld(t)
	a, _ := w.replica()
	w.look(a)
	old := w.state().signer
	served := a.serving.Load()
	w.deleteSecret()
	w.applyChart()
	b, _ := w.replica()
	w.startsIn(b)
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
		"garbage": func(s *corev1.Secret) {
			s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey] = []byte("x"), []byte("y")
		},
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
	w.startsIn(b)
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
