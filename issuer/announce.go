package issuer

import (
	"context"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"

	"github.com/bulkhead-dev/bulkhead/storage"
)

const (
	// probeSubject owns nothing: a subject of a tenant always has an @.
	probeSubject = "bulkhead-probe"
	// probeLife allows for the clock of a storage node that is ahead.
	probeLife = 2 * time.Minute
	// maxAnnounceDelay is the longest pause between two tries at one endpoint.
	maxAnnounceDelay = 30 * time.Second
)

// announceKeys makes a storage endpoint read the published keys again whenever
// there is a new one, by showing it a token of that key until it accepts it,
// however long that takes: an unknown key id makes a storage node ask, and what
// is no longer published is forgotten then. A key that is published before it
// signs is known everywhere when it does. Each node caches for itself, so one
// that is not configured believes a revoked key until it meets an unknown one by
// itself.
func (s *server) announceKeys(ctx context.Context, endpoint *storage.Client, address string) {
	logger := klog.FromContext(ctx).WithValues("endpoint", address)
	gauge := s.metrics.keyKnown.WithLabelValues(address)
	known, delay := map[string]bool{}, reloadInterval
	for {
		var failure error
		for _, key := range s.keys.current.Load().inUse(s.now()) {
			if known[key.id] {
				continue
			}
			gauge.Set(0)
			if err := s.announce(ctx, endpoint, key); err != nil {
				failure = err
				continue
			}
			known[key.id] = true
			logger.Info("The storage endpoint knows a new key", "key", key.id)
		}
		if failure == nil {
			delay = reloadInterval
			gauge.Set(1)
		} else {
			delay = min(2*delay, maxAnnounceDelay)
			logger.Info("The storage endpoint does not accept a new key yet, and may still believe a revoked one; will try again", "err", failure, "in", delay)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait.Jitter(delay, 0.1)):
		}
	}
}

func (s *server) announce(ctx context.Context, endpoint *storage.Client, key *key) error {
	token, err := s.minter.probeToken(key, s.policy.current.Load().StorageCluster)
	if err != nil {
		return err
	}
	return endpoint.Accepts(ctx, token)
}

// probeToken is a token of the key that can do nothing but be accepted.
func (m *minter) probeToken(key *key, storageCluster string) (string, error) {
	token, _, err := m.mintWith(key, tokenClaims{
		RegisteredClaims: jwt.RegisteredClaims{Subject: probeSubject, Audience: jwt.ClaimStrings{storageCluster}, ID: uuid.NewString()},
		Roles:            []string{storage.InspectRole}, Groups: []string{},
	}, probeLife)
	return token, err
}
