package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/bulkhead-dev/bulkhead/plugin/output"
	"github.com/bulkhead-dev/bulkhead/plugin/output/outputtest"
)

// registered is what register prints of a cluster whose API server answers so.
func registered(t *testing.T, name string, code int, answer []byte) (string, error) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != jwksPath {
			t.Errorf("asked for %s", r.URL.Path)
		}
		w.WriteHeader(code)
		_, _ = w.Write(answer)
	}))
	defer server.Close()
	var out bytes.Buffer
	root := newRoot()
	root.SetArgs([]string{"register", name, "--server", server.URL, "--kubeconfig", "/dev/null"})
	root.SetOut(&out)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

func TestRegister(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	is := jose.JSONWebKey{Key: key.Public(), KeyID: "first", Algorithm: string(jose.ES256), Use: "sig"}
	jwks, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{is}})
	if err != nil {
		t.Fatal(err)
	}
	var set struct{ Keys []struct{ X, Y string } }
	if err := json.Unmarshal(jwks, &set); err != nil {
		t.Fatal(err)
	}
	out, err := registered(t, "k14c1", http.StatusOK, jwks)
	if err != nil {
		t.Fatal(err)
	}
	outputtest.Golden(t, "register.yaml", output.Table, nil, func(w io.Writer) error {
		_, err := io.WriteString(w, strings.NewReplacer(set.Keys[0].X, "x-of-the-key", set.Keys[0].Y, "y-of-the-key").Replace(out))
		return err
	})
	for name, c := range map[string]struct {
		cluster string
		code    int
		answer  []byte
	}{
		"a name that is none":      {"Not A Name", http.StatusOK, jwks},
		"no rights":                {"k14c1", http.StatusForbidden, []byte("forbidden")},
		"no keys":                  {"k14c1", http.StatusOK, []byte(`{"keys":[]}`)},
		"something else than keys": {"k14c1", http.StatusOK, []byte("<html>")},
	} {
		if out, err := registered(t, c.cluster, c.code, c.answer); err == nil || out != "" {
			t.Errorf("%s: %v, %q", name, err, out)
		}
	}
	private, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key, KeyID: "first", Algorithm: string(jose.ES256), Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	var secret struct{ Keys []struct{ D string } }
	if err := json.Unmarshal(private, &secret); err != nil {
		t.Fatal(err)
	}
	if out, _ := registered(t, "k14c1", http.StatusOK, private); secret.Keys[0].D == "" || strings.Contains(out, secret.Keys[0].D) {
		t.Error("a private key is printed")
	}
}
