package issuer

import (
	"context"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"

	"github.com/bulkhead-dev/bulkhead/storage"
)

// probeSubject owns nothing: a subject of a tenant always has an @.
const probeSubject = "bulkhead-probe"

// announceKeys makes every storage endpoint read the published keys again
// whenever a new key starts to sign, by showing it a token of that key: an
// unknown key id makes a storage node ask, and what is no longer published is
// forgotten then. Each node caches for itself, so one that is not configured
// here believes a revoked key until it meets an unknown one by itself.
func (s *server) announceKeys(ctx context.Context) {
	known := ""
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		key, err := s.keys.current.Load().signing(s.now())
		if err != nil || key.id == known {
			return
		}
		known = key.id
		for i, endpoint := range s.endpoints {
			go s.announce(ctx, endpoint, s.cfg.StorageEndpoints[i].Address)
		}
	}, reloadInterval)
}

// announce shows one endpoint a new token until it accepts it.
func (s *server) announce(ctx context.Context, endpoint *storage.Client, address string) {
	logger := klog.FromContext(ctx)
	backoff := wait.Backoff{Duration: time.Second, Factor: 2, Jitter: 0.1, Steps: 10, Cap: time.Minute}
	err := wait.ExponentialBackoffWithContext(ctx, backoff, func(ctx context.Context) (bool, error) {
		token, err := s.minter.probeToken(s.policy.current.Load().StorageCluster)
		if err == nil {
			err = endpoint.Accepts(ctx, token)
		}
		if err != nil {
			logger.V(2).Info("A storage endpoint does not accept the new key yet", "endpoint", address, "err", err)
			return false, nil
		}
		return true, nil
	})
	if err != nil {
		s.metrics.announced.WithLabelValues(address, "failed").Inc()
		logger.Error(err, "A storage endpoint did not accept the new key; it may also still believe a revoked one", "endpoint", address)
		return
	}
	s.metrics.announced.WithLabelValues(address, "ok").Inc()
	logger.Info("A storage endpoint knows the key that signs", "endpoint", address)
}

// probeToken is a token that can do nothing but be accepted.
func (m *minter) probeToken(storageCluster string) (string, error) {
	token, _, err := m.mint(tokenClaims{
		RegisteredClaims: jwt.RegisteredClaims{Subject: probeSubject, Audience: jwt.ClaimStrings{storageCluster}},
		Roles:            []string{storage.InspectRole}, Groups: []string{},
	}, minLife)
	return token, err
}
