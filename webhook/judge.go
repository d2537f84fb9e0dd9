package webhook

import (
	"context"
	"errors"
	"fmt"

	"github.com/golang-jwt/jwt/v5"

	"github.com/bulkhead-dev/bulkhead/exchange"
	"github.com/bulkhead-dev/bulkhead/storage"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// storageJudge asks the storage cluster as the tenant itself, with a token that
// can do nothing but look. It reads no token Secret.
type storageJudge struct {
	issuer  *exchange.Client
	storage *storage.Client
}

func (j *storageJudge) mayMount(ctx context.Context, tenant tenancy.Tenant, handle string) error {
	token, err := j.issuer.Exchange(ctx, tenant)
	if err != nil {
		return fmt.Errorf("no token to look at the volume with: %w", err)
	}
	var claims jwt.RegisteredClaims
	// Unverified: the storage cluster verifies it when it answers.
	if _, _, err := jwt.NewParser().ParseUnverified(token.Raw, &claims); err != nil {
		return errors.New("what the issuer granted is not a JWT")
	}
	if _, ok := tenant.SubjectOf(claims.Subject); !ok {
		return fmt.Errorf("the issuer granted a token that is not made out to %s", tenant)
	}
	return j.storage.Check(ctx, token.Raw, claims.Subject, handle, storage.Write)
}
