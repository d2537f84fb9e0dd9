package rotation

import (
	"fmt"
	"maps"
	"os"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// minted is a token with what matters of it here.
type minted struct {
	raw     string
	kid     string
	claims  jwt.MapClaims
	expires time.Time
}

// String hides the token.
func (m minted) String() string { return "token of key " + m.kid }

// GoString hides the token from %#v as String does from %v.
func (m minted) GoString() string { return m.String() }

func read(token string) (minted, error) {
	claims := jwt.MapClaims{}
	parsed, _, err := jwt.NewParser().ParseUnverified(token, claims)
	if err != nil {
		return minted{}, fmt.Errorf("read a minted token: %w", err)
	}
	kid, _ := parsed.Header["kid"].(string)
	expires, err := claims.GetExpirationTime()
	if err != nil || expires == nil {
		return minted{}, fmt.Errorf("read a minted token: its expiry: %v %w", expires, err)
	}
	return minted{raw: token, kid: kid, claims: claims, expires: expires.Time}, nil
}

// thief holds a copy of a signing key.
type thief struct {
	key   any
	kid   string
	model jwt.MapClaims
}

// steal copies a key from its file. The model is a token of that key.
func steal(t *testing.T, file string, model minted) *thief {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	key, err := jwt.ParseECPrivateKeyFromPEM(raw)
	if err != nil {
		t.Fatal(err)
	}
	return &thief{key: key, kid: model.kid, model: model.claims}
}

// forge makes a token that is good in all but who signed it: of another tenant,
// and for a day.
func (th *thief) forge(t *testing.T) string {
	t.Helper()
	claims := maps.Clone(th.model)
	victim := tenant(99).Subject(computeName)
	claims["sub"], claims["groups"], claims["name"] = victim, []string{victim}, "a forged token"
	claims["exp"] = time.Now().Add(24 * time.Hour).Unix()
	claims["jti"] = uuid.NewString()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	token.Header["kid"] = th.kid
	signed, err := token.SignedString(th.key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}
