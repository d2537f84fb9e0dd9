package issuer

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// tokenClaims are those that the storage cluster needs (openstorage
// pkg/auth/claims.go): name and email must be present, and may be empty.
type tokenClaims struct {
	jwt.RegisteredClaims
	Name   string   `json:"name"`
	Email  string   `json:"email"`
	Roles  []string `json:"roles"`
	Groups []string `json:"groups"`

	// extra are claims that the policy adds; none of them is decisive.
	extra map[string]string
}

// decisive reports whether a claim decides what the token opens, or how long:
// what RFC 7519 registers and what the storage cluster reads. That decodes with
// encoding/json, which takes GROUPS or a sub with a long s for the same name.
func decisive(claim string) bool {
	return claim == "" || slices.ContainsFunc(
		[]string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "name", "email", "roles", "groups"},
		func(own string) bool { return strings.EqualFold(own, claim) })
}

// MarshalJSON writes the extra claims beside the others.
func (c tokenClaims) MarshalJSON() ([]byte, error) {
	type plain tokenClaims // without this method
	raw, err := json.Marshal(plain(c))
	if err != nil || len(c.extra) == 0 {
		return raw, err //nolint:wrapcheck // the library names the type
	}
	// No name is in both, as none of the extra claims is decisive: two objects that
	// are not empty become one.
	extra, err := json.Marshal(c.extra)
	if err != nil {
		return nil, err //nolint:wrapcheck // the library names the type
	}
	return append(append(raw[:len(raw)-1], ','), extra[1:]...), nil
}

// minter signs tokens with the key whose turn it is.
type minter struct {
	// issuer is the `iss` of tokens whose key has none of its own.
	issuer   string
	backdate time.Duration
	keys     func() *keyRing
	now      func() time.Time
}

// mint fills in issuer and times and signs. It returns when the token expires.
func (m *minter) mint(claims tokenClaims, life time.Duration) (token string, expires time.Time, err error) {
	return m.mintWith(m.keys().signing(m.now()), claims, life)
}

func (m *minter) mintWith(key *key, claims tokenClaims, life time.Duration) (token string, expires time.Time, err error) {
	now := m.now()
	claims.Issuer = m.issuer
	if key.issuer != "" {
		claims.Issuer = key.issuer
	}
	claims.IssuedAt = jwt.NewNumericDate(now.Add(-m.backdate))
	claims.ExpiresAt = jwt.NewNumericDate(now.Add(life))
	token, err = key.signToken(claims)
	return token, claims.ExpiresAt.Time, err
}
