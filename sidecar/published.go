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
	unwritten map[tenancy.SecretRef]unwritten
}

type unwritten struct {
	*minted

	// over is the version that it was to replace, empty for none.
	over string
}

func versionOf(s *corev1.Secret) string {
	if s == nil {
		return ""
	}
	return s.ResourceVersion
}

type publication struct {
	// before is the version that was replaced, empty if there was none.
	before  string
	tokenID string
	digest  [sha256.Size]byte
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
	now, refresh := time.Now(), m.refresh.Truncate(time.Second) // as it is written
	n := publication{
		tokenID: m.tokenID, digest: sha256.Sum256(m.secret.Data[tenancy.TokenKey]), refresh: refresh,
		due: now.Add(refresh.Sub(now)),
	}
	n.before = versionOf(replaced)
	p.written[ref] = n
	delete(p.unwritten, ref)
}

func (p *publications) keep(ref tenancy.SecretRef, m *minted, over *corev1.Secret) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unwritten == nil {
		p.unwritten = map[tenancy.SecretRef]unwritten{}
	}
	p.unwritten[ref] = unwritten{m, versionOf(over)}
}

// kept is the token that could not be written over this very Secret, nil if
// there is none.
func (p *publications) kept(ref tenancy.SecretRef, seen *corev1.Secret) *minted {
	p.mu.Lock()
	defer p.mu.Unlock()
	if u := p.unwritten[ref]; u.over == versionOf(seen) {
		return u.minted
	}
	return nil
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

// edited reports whether the Secret says another thing of the token than what
// was written. Another token is not an edit: a new leader may have written it.
func (p *publications) edited(ref tenancy.SecretRef, r record, seen *corev1.Secret) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, known := p.written[ref]
	return known && n.tokenID == r.tokenID && (!n.refresh.Equal(r.refresh) || n.digest != sha256.Sum256(seen.Data[tenancy.TokenKey]))
}

// due reports whether the refresh of what was written is due by the monotonic
// clock; known is false if nothing was.
func (p *publications) due(ref tenancy.SecretRef, now time.Time) (due, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, known := p.written[ref]
	return known && !now.Before(n.due), known
}

// overdue is due for a token that is the one that was written.
func (p *publications) overdue(ref tenancy.SecretRef, tokenID string, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, known := p.written[ref]
	return known && n.tokenID == tokenID && !now.Before(n.due)
}
