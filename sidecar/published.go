package sidecar

import (
	"crypto/sha256"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// publications are what this leader has written, and what it could not write
// yet. A Secret may lie where its tenant can edit it: what it says is compared
// with what was written.
type publications struct {
	mu sync.Mutex
	// written by the Secret.
	written map[tenancy.SecretRef]publication
	// unwritten are proven tokens that the API server did not take: the next
	// attempt needs no other.
	unwritten map[tenancy.SecretRef]*minted
}

type publication struct {
	// before is the version that was replaced, empty if there was none.
	before string
	digest [sha256.Size]byte
	// refresh is as written; due is the same moment by the monotonic clock,
	// which goes on when the wall clock leaps.
	refresh, due time.Time
}

// note takes down that a token was written in the place of a Secret, nil if
// there was none.
func (p *publications) note(ref tenancy.SecretRef, m *minted, replaced *corev1.Secret) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.written == nil {
		p.written = map[tenancy.SecretRef]publication{}
	}
	now := time.Now()
	n := publication{
		digest: sha256.Sum256(m.secret.Data[tenancy.TokenKey]), refresh: m.refresh,
		due: now.Add(m.refresh.Sub(now)),
	}
	if replaced != nil {
		n.before = replaced.ResourceVersion
	}
	p.written[ref] = n
	delete(p.unwritten, ref)
}

func (p *publications) keep(ref tenancy.SecretRef, m *minted) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unwritten == nil {
		p.unwritten = map[tenancy.SecretRef]*minted{}
	}
	p.unwritten[ref] = m
}

// kept is the token that was not written, nil if there is none.
func (p *publications) kept(ref tenancy.SecretRef) *minted {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.unwritten[ref]
}

// drop forgets a token that was not written and is not needed.
func (p *publications) drop(ref tenancy.SecretRef) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.unwritten, ref)
}

func (p *publications) forget(ref tenancy.SecretRef) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.written, ref)
	delete(p.unwritten, ref)
}

// behind reports whether the Secret as it was seen is the one that was replaced:
// the cache has yet to see what was written.
func (p *publications) behind(ref tenancy.SecretRef, seen *corev1.Secret) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, known := p.written[ref]
	return known && seen != nil && n.before == seen.ResourceVersion
}

// edited reports whether the Secret says another thing than what was written.
func (p *publications) edited(ref tenancy.SecretRef, r record, seen *corev1.Secret) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, known := p.written[ref]
	return known && (!n.refresh.Truncate(time.Second).Equal(r.refresh) || n.digest != sha256.Sum256(seen.Data[tenancy.TokenKey]))
}

// due reports whether the refresh is due by the monotonic clock.
func (p *publications) due(ref tenancy.SecretRef, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, known := p.written[ref]
	return known && !now.Before(n.due)
}
