package certs

import (
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
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
			// One that reads the Secret before, and the configurations after another has
			// written both, waits for its next look.
			var last error
			for range 100 {
				if s.Ready(nil) == nil {
					return
				}
				_, last = s.look(t.Context())
			}
			t.Errorf("a replica is never ready, last: %v", last)
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

func TestEmptiedBundlesAreFilledAtTheNextLook(t *testing.T) {
	w := newWorld(t)
	s, _ := w.replica()
	w.look(s)
	want := w.bundles()
	w.setBundles(nil)
	if wrote, err := s.look(t.Context()); err != nil || !wrote {
		t.Fatal(wrote, err)
	}
	if s.Ready(nil) == nil {
		t.Error("ready although the configurations that were read hold no CA")
	}
	w.look(s)
	if err := s.Ready(nil); err != nil {
		t.Error(err)
	}
	if err := w.trusts(s); err != nil || len(want) != len(w.bundles()) {
		t.Error(err)
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
