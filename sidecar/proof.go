package sidecar

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/bulkhead-dev/bulkhead/exchange"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// lifeSlack is how far the expiry in a token may differ from the life that the
// issuer granted: the clocks of both sides and the time of the answer.
const lifeSlack = time.Minute

// prober says whether the storage cluster accepts a token.
type prober func(ctx context.Context, token string) error

// prove checks a token before anybody uses it: that it says what was asked for,
// that it ends when it should, and that the storage cluster accepts it. The
// record it returns describes the token. No error holds the token.
func prove(ctx context.Context, accept prober, tenant tenancy.Tenant, token exchange.Token, now time.Time) (record, error) {
	var claims jwt.RegisteredClaims
	// Unverified: the storage cluster is the one to verify it, below.
	parsed, _, err := jwt.NewParser().ParseUnverified(token.Raw, &claims)
	if err != nil {
		return record{}, errors.New("what the issuer granted is not a JWT")
	}
	if _, ok := tenant.SubjectOf(claims.Subject); !ok {
		return record{}, fmt.Errorf("the token is made out to %.200q, not to %s", claims.Subject, tenant)
	}
	if claims.ExpiresAt == nil {
		return record{}, errors.New("the token never expires")
	}
	left := claims.ExpiresAt.Sub(now)
	if left <= 0 || left > token.Life+lifeSlack {
		return record{}, fmt.Errorf("the token ends in %v but %v was granted: is a clock wrong?", left.Round(time.Second), token.Life)
	}
	if err := accept(ctx, token.Raw); err != nil {
		return record{}, err
	}
	keyID, _ := parsed.Header["kid"].(string)
	return record{
		tenant: tenant, subject: claims.Subject, keyID: keyID,
		expires: claims.ExpiresAt.Time, refresh: refreshAt(now, min(left, token.Life)),
	}, nil
}
