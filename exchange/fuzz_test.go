package exchange

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func FuzzParseScope(f *testing.F) {
	f.Add("namespace:a uid:" + uid)
	f.Add("namespace:a uid:" + uid + " tenant:t")
	f.Fuzz(func(t *testing.T, scope string) {
		tenant, err := ParseScope(scope)
		if err != nil {
			return
		}
		if again, err := ParseScope(Scope(tenant)); err != nil || again != tenant {
			t.Errorf("%q reads as %+v, which reads back as %+v, %v", scope, tenant, again, err)
		}
		if _, ok := tenant.SubjectOf(tenant.Subject("k14c1")); !ok {
			t.Errorf("%q gives a subject that is not its own: %q", scope, tenant.Subject("k14c1"))
		}
	})
}

// answering is a network that gives one answer to every request.
type answering struct {
	status int
	header http.Header
	body   []byte
}

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: a.status, Header: a.header, Body: io.NopCloser(bytes.NewReader(a.body)), Request: r,
	}, nil
}

// fuzzClient is a client whose answers are set by its transport.
func fuzzClient(f *testing.F) *Client {
	f.Helper()
	file := filepath.Join(f.TempDir(), "token")
	if err := os.WriteFile(file, []byte(credential), 0o600); err != nil {
		f.Fatal(err)
	}
	c, err := NewClient(Config{IssuerURL: "https://issuer.example", StorageCluster: "storage-1", CredentialFile: file})
	if err != nil {
		f.Fatal(err)
	}
	return c
}

// longestError is what an error may be at most: it goes into logs, conditions and
// Events.
const longestError = 1 << 10

// Whatever answers in the issuer's place: there is a token with a life, or an error
// that is short and tells nothing secret.
func FuzzAnswer(f *testing.F) {
	f.Add(200, "", []byte(`{"access_token":"a.b.c","token_type":"Bearer","expires_in":3600,"bulkhead_policy":"p"}`))
	f.Add(200, "", []byte(`{"access_token":"a.b.c","expires_in":9999999999}`))
	f.Add(400, "", []byte(`{"error":"invalid_scope","error_description":"no"}`))
	f.Add(429, "20", []byte(`{"error":"temporarily_unavailable"}`))
	f.Add(503, "Fri, 31 Dec 1999 23:59:59 GMT", []byte(`<html>`))
	c := fuzzClient(f)
	f.Fuzz(func(t *testing.T, status int, retryAfter string, body []byte) {
		c.http.Transport = answering{status, http.Header{"Retry-After": {retryAfter}}, body}
		token, err := c.Exchange(t.Context(), tenant)
		if err == nil {
			if status != http.StatusOK || token.Raw == "" || token.Life <= 0 {
				t.Errorf("HTTP %d gave %q for %v", status, token.Raw, token.Life)
			}
			return
		}
		if token != (Token{}) {
			t.Error("a token beside an error")
		}
		if text := err.Error(); len(text) > longestError || strings.Contains(text, credential) {
			t.Errorf("the error has %d bytes, or holds the credential", len(text))
		}
		if refusal := (*Error)(nil); errors.As(err, &refusal) && (refusal.Code == "" || refusal.RetryAfter < 0) {
			t.Errorf("refused with %q, to be repeated after %v", refusal.Code, refusal.RetryAfter)
		}
	})
}

// Whatever is published: there is at least one key id, or an error.
func FuzzKeyIDs(f *testing.F) {
	f.Add(200, []byte(`{"keys":[{"kid":"a"},{"kid":"b","kty":"EC"}]}`))
	f.Add(200, []byte(`{"keys":[{"kty":"EC"}]}`))
	f.Add(404, []byte(`<html>`))
	c := fuzzClient(f)
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		c.http.Transport = answering{status: status, body: body}
		ids, err := c.KeyIDs(t.Context())
		if (err == nil) != (len(ids) > 0) || ids[""] || (err == nil && status != http.StatusOK) {
			t.Errorf("HTTP %d gave %v, %v", status, ids, err)
		}
		if err != nil && len(err.Error()) > longestError {
			t.Errorf("the error has %d bytes", len(err.Error()))
		}
	})
}

// Whatever the file holds: there is a credential that has not ended and that
// printing hides, or an error that holds nothing of it.
func FuzzReadCredential(f *testing.F) {
	f.Add([]byte(credential + "\n"))
	f.Add([]byte("\xef\xbb\xbf" + credential))
	f.Add([]byte(sign(time.Unix(1, 0))))
	f.Add([]byte(" \n"))
	f.Add([]byte("e30.e30."))
	file := filepath.Join(f.TempDir(), "token")
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		c, err := ReadCredential(file, now)
		secret := strings.TrimSpace(string(content))
		const telling = 16 // bytes; less may occur in any text
		if err != nil {
			if !errors.As(err, new(*CredentialError)) {
				t.Errorf("another error: %v", err)
			}
			if len(secret) >= telling && strings.Contains(err.Error(), secret) {
				t.Error("the error holds the credential")
			}
			return
		}
		if !strings.Contains(secret, c.Raw) || c.Raw == "" || !now.Before(c.Expires) {
			t.Errorf("read a credential until %v that is not the file's", c.Expires)
		}
		if len(c.Raw) >= telling && strings.Contains(fmt.Sprintf("%v %+v %#v %s", c, c, c, c), c.Raw) {
			t.Error("printing shows the credential")
		}
	})
}
