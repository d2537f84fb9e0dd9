package webhook

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/sync/singleflight"

	"github.com/bulkhead-dev/bulkhead/exchange"
	"github.com/bulkhead-dev/bulkhead/storage"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

const (
	// askTimeout bounds a question to the issuer and the storage cluster: no
	// answer in time is a no.
	askTimeout = 2 * time.Second
	// remembered is how long a yes is believed, so that the retries of a
	// controller are not asked again. A no is asked anew: it may have been
	// mended.
	remembered = 5 * time.Second
)

// storageJudge asks the storage cluster as the tenant itself, with a token that
// can do nothing but look. It reads no token Secret.
type storageJudge struct {
	issuer  *exchange.Client
	storage *storage.Client
}

func (j *storageJudge) may(ctx context.Context, tenant tenancy.Tenant, handle string, access storage.Access) error {
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
	return j.storage.Check(ctx, token.Raw, claims.Subject, handle, access)
}

// patientJudge asks another judge in bounded time, like questions once, and
// believes a yes for a moment.
type patientJudge struct {
	judge   judge
	metrics *metrics
	now     func() time.Time

	asking singleflight.Group
	mu     sync.Mutex
	yes    map[question]time.Time // until when
}

// question is who wants what of which volume. The handle may hold anything, so
// it is a field and not part of a text.
type question struct {
	tenant tenancy.Tenant
	handle string
	access storage.Access
}

func newPatientJudge(j judge, m *metrics) *patientJudge {
	return &patientJudge{judge: j, metrics: m, now: time.Now, yes: map[question]time.Time{}}
}

func (j *patientJudge) may(ctx context.Context, tenant tenancy.Tenant, handle string, access storage.Access) error {
	q := question{tenant, handle, access}
	if j.remembers(q) {
		j.metrics.questions.WithLabelValues("remembered").Inc()
		return nil
	}
	// The question outlives the first who asks: others wait for its answer.
	answer := j.asking.DoChan(fmt.Sprintf("%q", []string{tenant.Namespace, tenant.UID, tenant.Label, handle, access.String()}), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
		defer cancel()
		err := j.judge.may(ctx, tenant, handle, access)
		j.remember(q, err)
		return nil, err
	})
	select {
	case result := <-answer:
		return result.Err
	case <-ctx.Done():
		return fmt.Errorf("ask whose a volume is: %w", ctx.Err())
	}
}

func (j *patientJudge) remembers(q question) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.now().Before(j.yes[q])
}

func (j *patientJudge) remember(q question, err error) {
	switch {
	case errors.Is(err, storage.ErrDenied):
		j.metrics.questions.WithLabelValues("denied").Inc()
		return
	case err != nil:
		j.metrics.questions.WithLabelValues("failed").Inc()
		return
	}
	j.metrics.questions.WithLabelValues("allowed").Inc()
	j.mu.Lock()
	defer j.mu.Unlock()
	now := j.now()
	for old, until := range j.yes {
		if !now.Before(until) {
			delete(j.yes, old)
		}
	}
	j.yes[q] = now.Add(remembered)
}
