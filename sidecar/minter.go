package sidecar

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/klog/v2"

	"github.com/bulkhead-dev/bulkhead/exchange"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// Reasons to mint a token.
const (
	reasonFirst     = "there is no usable token"
	reasonScheduled = "its time has come"
	reasonEdited    = "the Secret was edited"
	reasonDeleted   = "the Secret is being deleted"
	reasonKey       = "its key is not published any more"
	reasonPolicy    = "the policy has changed"
	reasonUnasked   = "the issuer was not asked yet"
)

// errWaiting says that an item waits for the issuer and will be woken.
var errWaiting = errors.New("waiting for the issuer")

// issuerClient grants tokens.
type issuerClient interface {
	Exchange(ctx context.Context, tenant tenancy.Tenant) (exchange.Token, error)
}

// minter gets tokens from the issuer and proves them.
type minter struct {
	issuer  issuerClient
	accept  prober
	gate    *gate
	inForce *inForce
	status  *status
	metrics *metrics
	now     func() time.Time
	// unscheduled slows down mints that no schedule asked for: who edits or
	// deletes a Secret in a loop must not use up what the issuer grants.
	unscheduled *flowcontrol.Backoff
	published   publications
	refusals    refusals
	// asked is whether the issuer was asked for anything. A leader that finds every
	// token fresh replaces one all the same: else nobody could tell for half an hour
	// whether the next ones are to be had.
	asked atomic.Bool
}

// minted is a token that was proven, and the Secret that should hold it.
type minted struct {
	record

	secret *corev1.Secret
	reason string
}

// fresh returns what the slot should hold instead of the given Secret, nil if
// that is fresh or nothing can be done now, and when to look again.
func (m *minter) fresh(ctx context.Context, k key, s slot, secret *corev1.Secret) (*minted, time.Duration, error) {
	now := m.now()
	var old record
	if secret != nil {
		old, _ = recordOf(secret)
	}
	reason := m.due(old, s, secret, now)
	if reason == "" && m.asked.CompareAndSwap(false, true) {
		reason = reasonUnasked
	}
	if reason == "" {
		m.published.drop(s.ref)
		return nil, old.refresh.Sub(now), nil
	}
	if m.published.behind(s.ref, secret) {
		return nil, minRetry, nil
	}
	if kept := m.published.kept(s.ref, secret); kept != nil && kept.tenant == s.tenant && now.Before(kept.refresh) {
		return kept, kept.refresh.Sub(now), nil
	}
	if reason == reasonDeleted {
		// What is still good can be written again without the issuer.
		return &minted{old, s.secret(old, string(secret.Data[tenancy.TokenKey])), reason}, old.refresh.Sub(now), nil
	}
	late := now.Sub(old.refresh)
	burst := reason != reasonScheduled || late > time.Duration(onSchedule*float64(old.expires.Sub(old.refresh)))
	id := s.ref.String() + " " + s.tenant.UID
	if reason != reasonScheduled && m.unscheduled.IsInBackOffSinceUpdate(id, now) {
		return nil, m.unscheduled.Get(id), nil
	}
	r, err := m.mint(ctx, k, s.tenant, old.expires, burst)
	if err != nil {
		return nil, 0, err
	}
	if reason != reasonScheduled {
		m.unscheduled.Next(id, now)
	}
	return &minted{r.record, s.secret(r.record, r.raw), reason}, r.refresh.Sub(now), nil
}

// due says why the slot needs another token than what the Secret holds, empty
// if it needs none.
func (m *minter) due(r record, s slot, secret *corev1.Secret, now time.Time) string {
	switch {
	case secret == nil || secret.Type != secretType || r.tenant != s.tenant || !now.Before(r.expires):
		return reasonFirst
	case m.published.edited(s.ref, r, secret) || !r.holds(secret) || r.refresh.After(r.expires) || r.expires.Sub(now) > maxLife+maxSkew:
		return reasonEdited
	case !now.Before(r.refresh):
		return m.scheduled(s.ref, now)
	case m.published.overdue(s.ref, r.tokenID, now):
		return reasonScheduled
	case !m.inForce.key(r.keyID):
		return reasonKey
	case !m.inForce.policy(r.policy):
		return reasonPolicy
	case !secret.DeletionTimestamp.IsZero():
		return reasonDeleted
	}
	return ""
}

// scheduled tells a refresh whose time has come from one that was moved forward
// by somebody else.
func (m *minter) scheduled(ref tenancy.SecretRef, now time.Time) string {
	if due, known := m.published.due(ref, now); known && !due {
		return reasonEdited
	}
	return reasonScheduled
}

type provenToken struct {
	record

	raw string
}

// mint asks the issuer and proves the answer, as one attempt before the gate:
// what does not depend on the tenant is a failure of all.
func (m *minter) mint(ctx context.Context, k key, tenant tenancy.Tenant, expires time.Time, burst bool) (provenToken, error) {
	era, ok := m.gate.enter(k, expires)
	if !ok {
		return provenToken{}, errWaiting
	}
	m.asked.Store(true)
	start := m.now()
	token, err := m.issuer.Exchange(ctx, tenant)
	m.metrics.exchange.Observe(m.now().Sub(start).Seconds())
	var r record
	if err == nil {
		r, err = prove(ctx, m.accept, tenant, token, m.now(), burst)
	}
	if err != nil && (!alone(err) || m.refusals.many(k, err) || (!m.gate.isOpen() && isProof(err))) {
		var refusal *exchange.Error
		var retryAfter time.Duration
		if errors.As(err, &refusal) {
			retryAfter = refusal.RetryAfter
		}
		if pause := m.gate.failed(era, k, expires, retryAfter); pause > 0 && ctx.Err() == nil {
			klog.FromContext(ctx).Error(err, "No tokens can be had now; will try again", "cause", causeOf(err, causeIssuer), "after", pause)
			m.metrics.failures.WithLabelValues(causeOf(err, causeIssuer)).Inc()
			m.status.failed(err)
		}
		return provenToken{}, errWaiting
	}
	if err == nil {
		m.refusals.clear()
		if cluster, is := tenant.SubjectOf(r.subject); is {
			m.status.of(cluster)
		}
	}
	if m.gate.succeeded(era, k) {
		klog.FromContext(ctx).Info("Tokens can be had again")
	}
	if !isProof(err) {
		m.status.works()
	}
	if err != nil {
		return provenToken{}, fmt.Errorf("token of %s: %w", tenant, err)
	}
	m.inForce.sawPolicy(token.Policy)
	m.inForce.sawKey(r.keyID)
	return provenToken{r, token.Raw}, nil
}

// Causes of failures, for the metric, the log and the conditions.
const (
	causeCredential = "credential"
	causeIssuer     = "issuer"
	causePolicy     = "policy"
	causeProof      = "proof"
	causeKubernetes = "kubernetes"
)

func causeOf(err error, otherwise string) string {
	var (
		credential *exchange.CredentialError
		proof      *proofError
	)
	_, denied := asDenial(err)
	switch {
	case denied:
		return causePolicy
	case errors.As(err, &credential):
		return causeCredential
	case errors.As(err, &proof):
		return causeProof
	}
	return otherwise
}

func isProof(err error) bool { return errors.As(err, new(*proofError)) }

// asDenial reports whether the policy refuses the tenant.
func asDenial(err error) (*exchange.Error, bool) {
	var refusal *exchange.Error
	return refusal, errors.As(err, &refusal) && refusal.Denied()
}

// alone reports whether a failure is the tenant's alone and says nothing of the
// others.
func alone(err error) bool {
	var proof *proofError
	if errors.As(err, &proof) {
		return !proof.outage
	}
	_, denied := asDenial(err)
	return denied
}
