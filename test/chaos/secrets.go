package main

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/actors"
)

const (
	// secretsInterval is how often token Secrets are looked at.
	secretsInterval = 2 * time.Second
	// refreshSlack is what is left of a token when it is to be refreshed at the
	// latest: docs/sidecar.md, 70 % of its life.
	refreshSlack = tokenLife * 3 / 10
	// starvedAfter is how long after a fault that kept the sidecar from its tokens
	// it may still be without: a request that hangs is given up after 10 s, and the
	// pauses between tries are no longer than what has passed, 10 s.
	starvedAfter = 25 * time.Second
)

// secrets watches the token Secrets of all compute clusters.
type secrets struct {
	admins   map[string]*actors.ClusterAdmin
	timeline *timeline
	fresh    *check

	mu sync.Mutex
	// signatures of all tokens that were ever seen, to look for in logs, and their
	// ids, to look for in the audit log.
	signatures, ids map[string]bool
}

// watch looks until ctx ends, at each cluster by itself: one may not answer.
func (s *secrets) watch(ctx context.Context) {
	var each sync.WaitGroup
	for _, admin := range s.admins {
		each.Go(func() {
			ticker := time.NewTicker(secretsInterval)
			defer ticker.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-ticker.C:
					_ = s.look(ctx, admin)
				}
			}
		})
	}
	each.Wait()
}

// look judges all token Secrets of a cluster.
func (s *secrets) look(ctx context.Context, admin *actors.ClusterAdmin) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var list corev1.SecretList
	if err := admin.List(ctx, &list, client.InNamespace(admin.Layout.TokenNamespace)); err != nil {
		return err
	}
	for _, secret := range list.Items {
		if token := string(secret.Data[tenancy.TokenKey]); token != "" && secret.DeletionTimestamp.IsZero() {
			s.judge(admin.Compute.Name, secret.Name, token)
		}
	}
	return nil
}

func (s *secrets) judge(cluster, secret, token string) {
	var claims jwt.RegisteredClaims
	// Unverified: it is looked at, not trusted.
	if _, _, err := jwt.NewParser().ParseUnverified(token, &claims); err != nil || claims.ExpiresAt == nil {
		s.fresh.broken("Secret %s of %s holds no token that ends", secret, cluster)
		return
	}
	s.remember(token, claims.ID)
	now, expired := time.Now(), claims.ExpiresAt.Time
	if now.After(expired) && !s.timeline.starved(cluster, expired.Add(-refreshSlack), now, starvedAfter) {
		s.fresh.broken("Secret %s of %s: its token ended %.1f s ago, at %s", secret, cluster, now.Sub(expired).Seconds(), expired.Format(time.TimeOnly))
		return
	}
	s.fresh.held(1)
}

func (s *secrets) remember(token, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signatures[token[strings.LastIndexByte(token, '.')+1:]] = true
	s.ids[id] = true
}
