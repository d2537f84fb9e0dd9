package sidecar

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/bulkhead-dev/bulkhead/exchange"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// maxSkew is how far our clock may be from the issuer's: as much as Kerberos
// allows (RFC 4120 §1.6 and §8.2).
const maxSkew = 5 * time.Minute

// maxLife is the longest life that an issuer grants (issuer/policy.go).
const maxLife = 24 * time.Hour

// prober says whether the storage cluster accepts a token.
type prober func(ctx context.Context, token string) error

// proofError says that a token was granted but is not fit to be published. Its
// text does not hold the token.
type proofError struct {
	err error
	// outage is whether no token at all could be proven now.
	outage bool
}

func (e *proofError) Error() string { return "the token is not published: " + e.err.Error() }
func (e *proofError) Unwrap() error { return e.err }

func unfit(format string, arguments ...any) error {
	return &proofError{err: fmt.Errorf(format, arguments...)}
}

// prove checks a token before anybody uses it: that it says what was asked for,
// that it ends when it should, and that the storage cluster accepts it. The
// record it returns describes the token. The error is a *proofError.
func prove(ctx context.Context, accept prober, tenant tenancy.Tenant, token exchange.Token, now time.Time, burst bool) (record, error) {
	var claims jwt.RegisteredClaims
	// Unverified: the storage cluster is the one to verify it, below.
	parsed, _, err := jwt.NewParser().ParseUnverified(token.Raw, &claims)
	if err != nil {
		return record{}, unfit("what the issuer granted is not a JWT")
	}
	if _, ok := tenant.SubjectOf(claims.Subject); !ok {
		return record{}, unfit("it is made out to %.200q, not to %s", claims.Subject, tenant)
	}
	if claims.ExpiresAt == nil {
		return record{}, unfit("it never expires")
	}
	left := claims.ExpiresAt.Sub(now)
	if left <= 0 || left > token.Life+maxSkew || left < token.Life-maxSkew {
		return record{}, unfit("it ends in %v but %v was granted: is the clock of this node or of the issuer wrong?", left.Round(time.Second), token.Life)
	}
	if err := accept(ctx, token.Raw); err != nil {
		return record{}, &proofError{err, isOutage(err)}
	}
	keyID, _ := parsed.Header["kid"].(string)
	return record{
		tenant: tenant, subject: claims.Subject, keyID: keyID, tokenID: claims.ID, policy: token.Policy,
		expires: claims.ExpiresAt.Time, refresh: refreshAt(now, min(left, token.Life), burst),
	}, nil
}

// isOutage tells a storage cluster that does not answer from one that says no.
func isOutage(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return true
	}
	switch grpcstatus.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.ResourceExhausted:
		return true
	default:
		return false
	}
}
