package exchange

import (
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/sync/errgroup"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

const uid = "0b1d3a52-5a0c-4f3e-9d2f-0c6f8a1b2c3d"

func TestScopeRoundTrip(t *testing.T) {
	for _, tenant := range []tenancy.Tenant{{Namespace: "team-a", UID: uid}, {Namespace: "team-a", UID: uid, Label: "Fin_1.x"}} {
		got, err := ParseScope(Scope(tenant))
		if err != nil || got != tenant {
			t.Errorf("ParseScope(%q) = %+v, %v", Scope(tenant), got, err)
		}
	}
}

func TestParseScopeRefuses(t *testing.T) {
	good := "namespace:a uid:" + uid
	for _, scope := range []string{
		"", " ", "namespace:a", "uid:" + uid, good + " ", " " + good, strings.ReplaceAll(good, " ", "  "),
		good + " uid:" + uid, good + " tenant:", good + " role:x", "namespace:a,b uid:" + uid,
		"namespace:A uid:" + uid, "namespace:a uid:x", good + " tenant:a/b", "Namespace:a uid:" + uid,
	} {
		if got, err := ParseScope(scope); err == nil {
			t.Errorf("ParseScope(%q) = %+v, want an error", scope, got)
		}
	}
}

// credential is one that has not ended yet.
var credential = sign(time.Now().Add(time.Hour))

func sign(expires time.Time) string {
	raw, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{ExpiresAt: jwt.NewNumericDate(expires)}).
		SignedString([]byte("a key of this test"))
	if err != nil {
		panic(err)
	}
	return raw
}

func client(t *testing.T, handler http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	c, err := NewClient(Config{
		IssuerURL: server.URL, StorageCluster: "storage-1",
		CAFile:         write("ca.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))),
		CredentialFile: write("token", credential+"\n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var tenant = tenancy.Tenant{Namespace: "a", UID: uid}

func TestExchangeAsksAndReads(t *testing.T) {
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		for key, want := range map[string]string{
			"grant_type": GrantType, "subject_token": credential, "subject_token_type": TokenTypeJWT,
			"audience": "storage-1", "scope": "namespace:a uid:" + uid,
		} {
			if got := r.PostFormValue(key); got != want {
				t.Errorf("%s is %q, want %q", key, got, want)
			}
		}
		fmt.Fprint(w, `{"access_token":"secret-token","token_type":"Bearer","expires_in":60}`)
	})
	token, err := c.Exchange(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	if token.Raw != "secret-token" || token.Life != time.Minute {
		t.Errorf("got %q for %v", token.Raw, token.Life)
	}
	for _, verb := range []string{"%v", "%+v", "%s", "%#v"} {
		if text := fmt.Sprintf(verb, token); strings.Contains(text, "secret-token") {
			t.Errorf("%s prints the token", verb)
		}
	}
}

func TestWorkersKeepTheirConnections(t *testing.T) {
	const workers, exchanges = 20, 10
	var callers sync.Map
	// Each waits for the others, so that as many connections are open at once.
	var arrived sync.WaitGroup
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		callers.Store(r.RemoteAddr, true)
		arrived.Done()
		arrived.Wait()
		fmt.Fprint(w, `{"access_token":"secret-token","token_type":"Bearer","expires_in":60}`)
	})
	for range exchanges {
		arrived.Add(workers)
		var group errgroup.Group
		for range workers {
			group.Go(func() error {
				_, err := c.Exchange(t.Context(), tenant)
				return err
			})
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	connections := 0
	callers.Range(func(any, any) bool { connections++; return true })
	if connections > workers {
		t.Errorf("%d workers made %d connections for %d exchanges each", workers, connections, exchanges)
	}
}

func TestAnAnswerThatEndsTheConnectionIsAskedOnceMore(t *testing.T) {
	for name, c := range map[string]struct {
		failures     int32
		ends         bool
		wantRequests int32
		wantToken    bool
	}{
		"another replica has a token": {1, true, 2, true},
		"no replica has one":          {9, true, 2, false},
		"the connection is kept":      {1, false, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			var requests atomic.Int32
			issuer := client(t, func(w http.ResponseWriter, _ *http.Request) {
				if requests.Add(1) > c.failures {
					fmt.Fprint(w, `{"access_token":"x","token_type":"Bearer","expires_in":60}`)
					return
				}
				if c.ends {
					w.Header().Set("Connection", "close")
				}
				w.WriteHeader(http.StatusInternalServerError)
				fmt.Fprint(w, `{"error":"server_error","error_description":"the exchange could not be recorded"}`)
			})
			_, err := issuer.Exchange(t.Context(), tenant)
			if refusal := (*Error)(nil); (err == nil) != c.wantToken || (err != nil && !errors.As(err, &refusal)) {
				t.Errorf("got %v", err)
			}
			if got := requests.Load(); got != c.wantRequests {
				t.Errorf("asked %d times, want %d", got, c.wantRequests)
			}
		})
	}
}

func TestExchangeFailures(t *testing.T) {
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		code    string
		after   time.Duration
		denied  bool
	}{
		"a refusal": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":"invalid_scope","error_description":"no"}`)
		}, InvalidScope, 0, true},
		"too many requests": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
			fmt.Fprint(w, `{"error":"temporarily_unavailable"}`)
		}, TemporarilyUnavailable, 7 * time.Second, false},
		"a proxy's page": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "<html>"+credential, http.StatusBadGateway)
		}, ServerError, 0, false},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, ServerError, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := client(t, c.handler).Exchange(t.Context(), tenant)
			var refusal *Error
			if !errors.As(err, &refusal) {
				t.Fatalf("got %v, want an *Error", err)
			}
			if refusal.Code != c.code || refusal.RetryAfter != c.after || refusal.Denied() != c.denied {
				t.Errorf("code %q, retry after %v, denied %v", refusal.Code, refusal.RetryAfter, refusal.Denied())
			}
			if strings.Contains(err.Error(), credential) {
				t.Error("the error holds the credential")
			}
		})
	}
	for name, body := range map[string]string{
		"not JSON": "<html>", "no token": `{"expires_in":60}`, "no life": `{"access_token":"x"}`,
		"endless": `{"access_token":"` + strings.Repeat("x", maxAnswer) + `","expires_in":60}`,
	} {
		t.Run("an answer that is "+name, func(t *testing.T) {
			c := client(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) })
			if _, err := c.Exchange(t.Context(), tenant); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestACredentialThatCannotBeShownIsItsOwnError(t *testing.T) {
	asked := false
	for name, content := range map[string]string{
		"expired": sign(time.Now().Add(-time.Second)), "empty": " \n", "not a token": "secret-of-another-kind", "endless": sign(time.Time{})[:20],
	} {
		t.Run(name, func(t *testing.T) {
			c := client(t, func(http.ResponseWriter, *http.Request) { asked = true })
			if err := os.WriteFile(c.cfg.CredentialFile, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := c.Exchange(t.Context(), tenant)
			var missing *CredentialError
			if !errors.As(err, &missing) || asked {
				t.Fatalf("%v, issuer asked: %v", err, asked)
			}
			if got := errors.Is(err, ErrExpired); got != (name == "expired") {
				t.Errorf("expired is %v: %v", got, err)
			}
			if strings.Contains(err.Error(), strings.TrimSpace(content)) && strings.TrimSpace(content) != "" {
				t.Error("the error holds the credential")
			}
		})
	}
	if _, err := ReadCredential(filepath.Join(t.TempDir(), "none"), time.Now()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	c := Credential{Raw: credential}
	if text := fmt.Sprintf("%v %+v %#v %s", c, c, c, c); strings.Contains(text, credential) {
		t.Error("printing shows the credential")
	}
}

func TestKeyIDs(t *testing.T) {
	for body, want := range map[string]int{
		`{"keys":[{"kid":"a"},{"kid":"b"}]}`: 2, `{"keys":[]}`: 0, `{"keys":[{"kty":"EC"}]}`: 0, `<html>`: 0,
	} {
		c := client(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != JWKSPath {
				t.Errorf("asked for %s", r.URL.Path)
			}
			fmt.Fprint(w, body)
		})
		ids, err := c.KeyIDs(t.Context())
		if len(ids) != want || (err == nil) != (want > 0) {
			t.Errorf("%s: %v, %v", body, ids, err)
		}
	}
}

func TestNewClientRefuses(t *testing.T) {
	good := Config{IssuerURL: "https://issuer.example", CredentialFile: "/x", StorageCluster: "s"}
	for name, change := range map[string]func(*Config){
		"plain http":         func(c *Config) { c.IssuerURL = "http://issuer.example" },
		"no host":            func(c *Config) { c.IssuerURL = "https://" },
		"no credential":      func(c *Config) { c.CredentialFile = "" },
		"no storage cluster": func(c *Config) { c.StorageCluster = "" },
		"a CA that is not":   func(c *Config) { c.CAFile = filepath.Join(t.TempDir(), "none") },
	} {
		cfg := good
		change(&cfg)
		if _, err := NewClient(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
