package sidecar

import (
	"context"
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"
)

const (
	// keysInterval is how often the issuer's published keys are read.
	keysInterval = 30 * time.Second
	// settleTime is how long a change must stand before tokens are replaced for
	// it: the replicas of an issuer do not learn of one at the same moment.
	settleTime = 5 * time.Second
)

// inForce is what the issuer goes by now, as far as is known: the keys that it
// publishes and its policy. Tokens from before a change are replaced.
type inForce struct {
	// keyIDs reads the ids of the published keys.
	keyIDs func(context.Context) (map[string]bool, error)
	// changed is called when tokens may have to be replaced.
	changed func()

	mu      sync.Mutex
	keys    map[string]bool // nil while unknown
	current string          // policy, empty while unknown
	next    string          // policy that was seen since, empty if none
	settles *time.Timer     // makes next current
}

// key reports whether the key is published, or that is not known.
func (f *inForce) key(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.keys == nil || f.keys[id]
}

// sawKey is told the key of each token that is minted. One that is not known to
// be published is newer than what was read.
func (f *inForce) sawKey(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.keys != nil && !f.keys[id] {
		f.keys = nil // read anew soon
	}
}

// policy reports whether tokens of that policy are what would be minted now, or
// that is not known.
func (f *inForce) policy(p string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.current == "" || p == f.current
}

// sawPolicy is told the policy of each token that is minted. A new one counts
// once it has stood for a while without an answer by the old one.
func (f *inForce) sawPolicy(p string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch p {
	case "":
	case f.next:
	case f.current:
		f.next = ""
		if f.settles != nil {
			f.settles.Stop()
		}
	default:
		if f.settles != nil {
			f.settles.Stop()
		}
		f.next = p
		f.settles = time.AfterFunc(settleTime, func() { f.settle(p) })
	}
}

func (f *inForce) settle(p string) {
	f.mu.Lock()
	stands := f.next == p
	if stands {
		f.current, f.next = p, ""
	}
	f.mu.Unlock()
	if stands {
		f.changed()
	}
}

// followKeys reads the keys until ctx ends. What cannot be read changes nothing:
// some modes of the storage cluster publish no keys.
func (f *inForce) followKeys(ctx context.Context) {
	const jitter = 0.2
	wait.JitterUntilWithContext(ctx, func(ctx context.Context) {
		keys, ok := f.readKeys(ctx)
		if !ok {
			return
		}
		f.mu.Lock()
		same := maps.Equal(keys, f.keys)
		f.mu.Unlock()
		if same || !passes(ctx, settleTime) {
			return
		}
		if again, ok := f.readKeys(ctx); !ok || !maps.Equal(keys, again) {
			return
		}
		f.mu.Lock()
		f.keys = keys
		f.mu.Unlock()
		f.changed()
	}, keysInterval, jitter, true)
}

func (f *inForce) readKeys(ctx context.Context) (map[string]bool, bool) {
	keys, err := f.keyIDs(ctx)
	if err != nil {
		klog.FromContext(ctx).V(4).Info("The issuer's keys were not read", "reason", err.Error())
	}
	return keys, err == nil
}
