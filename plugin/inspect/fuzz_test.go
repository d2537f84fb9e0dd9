package inspect

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// Whatever a token Secret holds: the report for people does not hold the token, nor
// anything that a terminal takes for a command.
func FuzzToken(f *testing.F) {
	f.Add([]byte("eyJhbGciOiJFUzI1NiIsImtpZCI6ImsifQ.eyJzdWIiOiJhIiwicm9sZXMiOlsiYnVsa2hlYWQudGVuYW50Il0sImV4cCI6MX0.c2ln"))
	f.Add([]byte("eyJhbGciOiJub25lIn0.eyJuYW1lIjoiXHUwMDFiWzJKIn0."))
	f.Add([]byte("not a token, and long enough to be told of"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, token []byte) {
		r := &Report{}
		raw, ok := r.read(&corev1.Secret{Data: map[string][]byte{tenancy.TokenKey: token}})
		if ok {
			r.judge(tenancy.Tenant{Namespace: "a", UID: "0b1d3a52-5a0c-4f3e-9d2f-0c6f8a1b2c3d"}, time.Unix(1, 0))
		}
		var text bytes.Buffer
		if err := r.Print(&text); err != nil {
			t.Fatal(err)
		}
		document, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		const telling = 32 // bytes; less may occur in any text
		if len(token) >= telling && (strings.Contains(text.String(), string(token)) || strings.Contains(string(document), string(token))) {
			t.Error("the report holds the token")
		}
		if ok && raw != string(token) {
			t.Error("another token was read")
		}
		if i := strings.IndexFunc(text.String(), func(c rune) bool { return (c < ' ' && c != '\n') || c == 0x7f }); i >= 0 {
			t.Errorf("the report holds %q", text.String()[i])
		}
	})
}
