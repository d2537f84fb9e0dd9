package webhook

import (
	"crypto/tls"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

func TestE5_CallersShowACertificateIfThatIsConfigured(t *testing.T) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "bad.crt")
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for path, content := range map[string][]byte{good: ca, bad: []byte("no certificate")} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]tls.ClientAuthType{"": tls.NoClientCert, good: tls.RequireAndVerifyClientCert} {
		apply, err := clientAuthentication(path)
		if err != nil {
			t.Fatal(err)
		}
		var config tls.Config
		if apply(&config); config.ClientAuth != want || (path != "") != (config.ClientCAs != nil) {
			t.Errorf("%q: asks for %v", path, config.ClientAuth)
		}
	}
	for _, path := range []string{bad, filepath.Join(dir, "none")} {
		if _, err := clientAuthentication(path); err == nil {
			t.Errorf("%s: accepted", path)
		}
	}
}

func TestABadConfigurationIsRefusedAtStart(t *testing.T) {
	right := Config{
		Drivers: tenancy.DefaultDrivers(), Layout: tenancy.Layout{TokenNamespace: "tokens", Template: "px-${namespace}"},
		Provisioners: []string{"portworx/px-csi"}, Sidecar: "bulkhead-system/bulkhead-sidecar",
		Registration: "bulkhead",
	}
	l, err := newLookup(right)
	if err != nil {
		t.Fatal(err)
	}
	if !l.provisioners[provisioner] || l.sidecar != sidecar {
		t.Errorf("users are %v and %q", l.provisioners, l.sidecar)
	}
	for name, change := range map[string]func(*Config){
		"no driver":                    func(c *Config) { c.Drivers.CSI = nil },
		"no layout":                    func(c *Config) { c.Layout = tenancy.Layout{} },
		"a provisioner without a name": func(c *Config) { c.Provisioners = []string{"portworx"} },
		"no registration":              func(c *Config) { c.Registration = "" },
		"no sidecar":                   func(c *Config) { c.Sidecar = "" },
		"a bad policy":                 func(c *Config) { c.Policy.Stork = "x" },
	} {
		config := right
		change(&config)
		if _, err := newLookup(config); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
