package sidecar

import "sync"

// manyRefusals is how many tenants in a row must fail their proof before that
// counts as a failure of all: a storage cluster that does not know the issuer
// refuses every token.
const manyRefusals = 5

// refusals are the items whose token failed its proof since one last succeeded.
type refusals struct {
	mu    sync.Mutex
	items map[key]bool
}

// many takes note of a failed proof, and reports whether there are many.
func (r *refusals) many(k key, err error) bool {
	if !isProof(err) {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.items == nil {
		r.items = map[key]bool{}
	}
	if len(r.items) < manyRefusals {
		r.items[k] = true
	}
	return len(r.items) >= manyRefusals
}

func (r *refusals) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.items)
}
