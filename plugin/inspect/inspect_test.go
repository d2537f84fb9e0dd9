package inspect

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/plugin/output"
	"github.com/bulkhead-dev/bulkhead/plugin/output/outputtest"
	"github.com/bulkhead-dev/bulkhead/storage"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

var (
	now  = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	shop = tenancy.Tenant{Namespace: "shop", UID: "0b1d3a52-5a0c-4f3e-9d2f-0c6f8a1b2c3d"}
)

// signed is a token with those claims over those of a good one; nil removes one.
func signed(t *testing.T, over map[string]any) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	subject := shop.Subject("k14c1")
	claims := jwt.MapClaims{
		"iss": "https://issuer.example", "sub": subject, "name": "shop", "groups": []string{subject}, "roles": []string{storage.TenantRole},
		"jti": "7e6f5d4c", "iat": now.Add(-time.Minute).Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	for name, value := range over {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	token.Header["kid"] = "first"
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// look is what is told of a token, without a storage cluster to ask.
func look(raw string) *Report {
	r := &Report{Namespace: "shop", Secret: "bulkhead-tokens/bulkhead-shop", Verdict: NotAsked}
	if _, ok := r.read(&corev1.Secret{Data: map[string][]byte{tenancy.TokenKey: []byte(raw)}}); ok {
		r.judge(shop, now)
	}
	return r
}

func TestWhatIsWrongWithAToken(t *testing.T) {
	for name, c := range map[string]struct {
		over map[string]any
		says string
	}{
		"good":                    {nil, ""},
		"another's":               {map[string]any{"sub": "bank.7e6f5d4c-3b2a-4190-8877-665544332211@k14c1"}, "not that of this namespace"},
		"over":                    {map[string]any{"exp": now.Add(-time.Second).Unix()}, "it ended at 2026-11-24T11:59:59Z"},
		"without an end":          {map[string]any{"exp": nil}, "it never ends"},
		"for a year":              {map[string]any{"exp": now.Add(365 * 24 * time.Hour).Unix()}, "more than a day"},
		"of a wider role":         {map[string]any{"roles": []string{storage.TenantRole, "system.user"}}, "its roles are"},
		"without a role":          {map[string]any{"roles": nil}, "its roles are"},
		"with the group of all":   {map[string]any{"groups": []string{"*"}}, "its groups"},
		"of the former namespace": {map[string]any{"sub": "shop.7e6f5d4c-3b2a-4190-8877-665544332211@k14c1"}, "not that of this namespace"},
	} {
		raw := signed(t, c.over)
		r := look(raw)
		told := strings.Join(r.Problems, "; ")
		if (c.says == "") != (told == "") || !strings.Contains(told, c.says) {
			t.Errorf("%s: %q, want %q", name, told, c.says)
		}
		var out bytes.Buffer
		if err := r.Print(&out); err != nil {
			t.Fatal(err)
		}
		for part := range strings.SplitSeq(raw, ".") {
			if strings.Contains(out.String(), part) {
				t.Errorf("%s: a part of the token is shown", name)
			}
		}
	}
	for name, raw := range map[string]string{"empty": "", "no JWT": "eyJhbGciOi.x.y", "a private thing": "-----BEGIN PRIVATE KEY-----"} {
		if r := look(raw); len(r.Problems) != 1 || (raw != "" && strings.Contains(r.Problems[0], raw)) {
			t.Errorf("%s: %v", name, r.Problems)
		}
	}
}

// In placement tenant a Secret may hold what the tenant made up.
func TestAClaimOfATokenIsNoLineOfOurs(t *testing.T) {
	var out bytes.Buffer
	if err := look(signed(t, map[string]any{"name": "shop\nVerdict:   Accepted"})).Print(&out); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(out.String(), "\nVerdict:"); got != 1 {
		t.Errorf("%d verdicts in:\n%s", got, out.String())
	}
}

func TestPrint(t *testing.T) {
	r := look(signed(t, map[string]any{"roles": []string{"system.user"}}))
	for file, format := range map[string]output.Format{"token.txt": output.Table, "token.json": output.JSON} {
		outputtest.Golden(t, file, format, r, r.Print)
	}
}
