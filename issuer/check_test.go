package issuer

import (
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheCheckReadsWhatAStorageNodeReads(t *testing.T) {
	const issuerURL = "https://example.com/issuer" // the name in httptest's certificate
	right := discovery(issuerURL)
	elsewhere, wrong := right, right
	elsewhere.Issuer, wrong.JWKSURI = "https://example.com", issuerURL+"/keys"
	keys := `{"keys":[{"kid":"first","alg":"ES256"}]}`
	for name, c := range map[string]struct {
		document discoveryDocument
		keys     string
		noKeys   bool
		want     string // part of the error
	}{
		"all is well":                    {right, keys, false, ""},
		"it is another issuer":           {elsewhere, keys, false, `it is that of "https://example.com"`},
		"the keys are said to be absent": {wrong, keys, false, "the keys are said to be at"},
		"there are no keys":              {right, `{"keys":[]}`, false, "none are published"},
		"there need be none":             {right, `{"keys":[]}`, true, ""},
		"the keys are no JSON":           {right, `<html>`, false, "keys: "},
	} {
		t.Run(name, func(t *testing.T) {
			mux := http.NewServeMux()
			mux.HandleFunc("GET /issuer"+discoveryPath, func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(c.document) })
			mux.HandleFunc("GET /issuer/jwks", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(c.keys)) })
			server := httptest.NewTLSServer(mux)
			t.Cleanup(server.Close)
			ca := filepath.Join(t.TempDir(), "tls.crt")
			if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg := CheckConfig{
				IssuerURL: issuerURL, Connect: server.Listener.Addr().String(), NoKeys: c.noKeys,
				CAFiles: []string{ca, filepath.Join(t.TempDir(), "ca.crt")},
			}
			var out strings.Builder
			err := Check(t.Context(), cfg, &out)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			// As Kubernetes tells a Pod where the Service is.
			cfg.Connect = "tcp://" + cfg.Connect
			if again := Check(t.Context(), cfg, &out); (again == nil) != (err == nil) {
				t.Errorf("got %v, and %v with tcp:// before the address", err, again)
			}
			cfg.CAFiles = nil
			if err := Check(t.Context(), cfg, &out); err == nil || !strings.Contains(err.Error(), "certificate") {
				t.Errorf("a server that nothing vouches for: %v", err)
			}
		})
	}
}
