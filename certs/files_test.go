package certs

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admissionregistration/v1"
)

// folder is a mounted Secret.
type folder struct {
	t   *testing.T
	dir string
}

func (f folder) path(name string) string { return filepath.Join(f.dir, name) }

func (f folder) write(name string, content []byte) {
	f.t.Helper()
	if err := os.WriteFile(f.path(name), content, 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// issue writes a certificate of the CA for the names, and returns it.
func (f folder) issue(ca *authority, names ...string) *tls.Certificate {
	f.t.Helper()
	c, err := ca.leaf(names, time.Now())
	if err != nil {
		f.t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		f.t.Fatal(err)
	}
	f.write("tls.crt", encodeCertificate(c.Leaf, nil))
	f.write("tls.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	return c
}

func newTestAuthority(t *testing.T) *authority {
	t.Helper()
	ca, err := newAuthority(time.Now(), testLife)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// files serves from a folder that has a certificate of the CA.
func (w *world) files(ca *authority, changes ...func(*FilesConfig)) (*Files, folder) {
	w.t.Helper()
	mounted := folder{w.t, w.t.TempDir()}
	mounted.issue(ca, serviceNames()...)
	mounted.write("ca.crt", encodeCertificate(ca.certificate, nil))
	cfg := FilesConfig{
		CertFile: mounted.path("tls.crt"), KeyFile: mounted.path("tls.key"), CAFile: mounted.path("ca.crt"),
		Names: serviceNames(), WebhookConfiguration: "bulkhead", Registry: prometheus.NewRegistry(),
	}
	for _, change := range changes {
		change(&cfg)
	}
	f, err := NewFiles(w.api, cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	return f, mounted
}

// mustLook wants no error.
func (f *Files) mustLook(t *testing.T) (wrote bool) {
	t.Helper()
	wrote, err := f.look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return wrote
}

func TestTheCAFileIsPutIntoTheConfigurations(t *testing.T) {
	w := newWorld(t)
	ca := newTestAuthority(t)
	f, mounted := w.files(ca)
	for range 2 {
		if !f.mustLook(t) || f.Ready(nil) == nil || testutil.ToFloat64(f.metrics.injected) != 0 {
			t.Fatal("ready by what it has only written, or it wrote nothing")
		}
		if f.mustLook(t) || f.Ready(nil) != nil || testutil.ToFloat64(f.metrics.injected) != 1 {
			t.Fatal("not ready, or it writes again and again")
		}
		if all, _ := w.inBundles(ca.certificate); !all {
			t.Fatal("the CA is not in every bundle")
		}
		w.setBundles(nil)
	}
	// The overlap of an admin: both are trusted before the new one signs.
	next := newTestAuthority(t)
	mounted.write("ca.crt", append(encodeCertificate(ca.certificate, nil), encodeCertificate(next.certificate, nil)...))
	f.mustLook(t)
	for _, c := range []*authority{ca, next} {
		if all, _ := w.inBundles(c.certificate); !all {
			t.Error("one of two CAs is not in every bundle")
		}
	}
}

func TestACAFileThatWouldCutTheAPIServerOffIsNotWritten(t *testing.T) {
	for name, content := range map[string][]byte{
		"another CA": encodeCertificate(newTestAuthority(t).certificate, nil),
		"nothing":    nil,
		"garbage":    []byte("-----BEGIN CERTIFICATE-----"),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ca := newTestAuthority(t)
			f, mounted := w.files(ca)
			f.mustLook(t)
			mounted.write("ca.crt", content)
			if _, err := f.look(t.Context()); err == nil {
				t.Error("no error")
			}
			if all, _ := w.inBundles(ca.certificate); !all {
				t.Error("the CA has gone")
			}
		})
	}
}

func TestWithoutACAFileTheConfigurationsAreOnlyRead(t *testing.T) {
	w := newWorld(t)
	ca := newTestAuthority(t)
	f, _ := w.files(ca, func(c *FilesConfig) { c.CAFile = "" })
	for range 2 {
		if wrote, err := f.look(t.Context()); err == nil || wrote || f.Ready(nil) == nil {
			t.Error("content though nothing trusts it")
		}
	}
	w.setBundles(encodeCertificate(ca.certificate, nil))
	f.mustLook(t)
	if err := f.Ready(nil); err != nil {
		t.Error(err)
	}
}

func TestFilesThatDoNotServeTheNamesAreNotReady(t *testing.T) {
	w := newWorld(t)
	ca := newTestAuthority(t)
	f, _ := w.files(ca, func(c *FilesConfig) { c.Names = []string{"other.system.svc"} })
	if _, err := f.look(t.Context()); err == nil || f.Ready(nil) == nil {
		t.Error("ready for a name that the certificate does not have")
	}
}

func TestChangedFilesAreServed(t *testing.T) {
	w := newWorld(t)
	ca := newTestAuthority(t)
	f, mounted := w.files(ca)
	ended := make(chan error, 1)
	go func() { ended <- f.Start(t.Context()) }()
	wait := func(what string, done func() bool) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
			select {
			case err := <-ended:
				t.Fatal("it ended:", err)
			default:
			}
			if time.Now().After(deadline) {
				t.Fatal("it is never", what)
			}
		}
	}
	wait("ready", func() bool { return f.Ready(nil) == nil })
	want := mounted.issue(ca, serviceNames()...)
	wait("served", func() bool {
		got, err := f.GetCertificate(nil)
		return err == nil && got.Leaf.Equal(want.Leaf)
	})
	// Half written.
	mounted.write("tls.key", []byte("x"))
	if err := f.watcher.ReadCertificate(); err == nil {
		t.Error("no error")
	}
	if got, err := f.GetCertificate(nil); err != nil || !got.Leaf.Equal(want.Leaf) {
		t.Error("the last good one is not in use", err)
	}
}

func TestFilesMetrics(t *testing.T) {
	w := newWorld(t)
	ca := newTestAuthority(t)
	f, mounted := w.files(ca)
	f.mustLook(t)
	for range 2 {
		c := mounted.issue(ca, serviceNames()...)
		if err := f.watcher.ReadCertificate(); err != nil {
			t.Fatal(err)
		}
		f.mustLook(t)
		if got := testutil.ToFloat64(f.metrics.expiry.WithLabelValues(certificateServing)); got != float64(c.Leaf.NotAfter.Unix()) {
			t.Errorf("expires at %v, want %v", got, c.Leaf.NotAfter)
		}
	}
	if n := testutil.ToFloat64(f.metrics.rotations.WithLabelValues(certificateServing)); n != 2 {
		t.Errorf("%v rotations, want 2", n)
	}
}

func TestAConfigurationThatIsMissingIsNotReady(t *testing.T) {
	w := newWorld(t)
	f, _ := w.files(newTestAuthority(t))
	if err := w.api.DeleteAllOf(t.Context(), &admissionv1.MutatingWebhookConfiguration{}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.look(t.Context()); err == nil || f.Ready(nil) == nil {
		t.Error("ready although nothing calls it")
	}
}

func TestBadFilesAreRefused(t *testing.T) {
	w := newWorld(t)
	good, mounted := w.files(newTestAuthority(t))
	mounted.write("broken", []byte("x"))
	for name, spoil := range map[string]func(*FilesConfig){
		"no certificate":    func(c *FilesConfig) { c.CertFile = "" },
		"no key":            func(c *FilesConfig) { c.KeyFile = "" },
		"a broken key":      func(c *FilesConfig) { c.KeyFile = mounted.path("broken") },
		"a file not there":  func(c *FilesConfig) { c.CertFile = mounted.path("nowhere") },
		"no names":          func(c *FilesConfig) { c.Names = nil },
		"no configurations": func(c *FilesConfig) { c.WebhookConfiguration = "" },
	} {
		cfg := good.cfg
		spoil(&cfg)
		cfg.Registry = prometheus.NewRegistry()
		if _, err := NewFiles(w.api, cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
