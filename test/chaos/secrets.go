package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
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
			s.judge(ctx, admin, secret.Name, token)
		}
	}
	return nil
}

func (s *secrets) judge(ctx context.Context, admin *actors.ClusterAdmin, secret, token string) {
	cluster := admin.Compute.Name
	var claims jwt.RegisteredClaims
	// Unverified: it is looked at, not trusted.
	if _, _, err := jwt.NewParser().ParseUnverified(token, &claims); err != nil || claims.ExpiresAt == nil {
		s.fresh.broken("Secret %s of %s holds no token that ends", secret, cluster)
		return
	}
	s.remember(token, claims.ID)
	now, expired := time.Now(), claims.ExpiresAt.Time
	excused := func() bool {
		return s.timeline.starved(cluster, expired.Add(-refreshSlack), now, starvedAfter) || s.unused(ctx, admin, secret)
	}
	if now.After(expired) && !excused() {
		s.fresh.broken("Secret %s of %s: its token ended %.1f s ago, at %s", secret, cluster, now.Sub(expired).Seconds(), expired.Format(time.TimeOnly))
		return
	}
	s.fresh.held()
}

// unused is whether a Secret is a retired one that nothing refers to, and is to go:
// it is kept a minute longer than that, and not refreshed.
func (s *secrets) unused(ctx context.Context, admin *actors.ClusterAdmin, secret string) bool {
	if _, retired := admin.Layout.RetiredOf(tenancy.SecretRef{Namespace: admin.Layout.TokenNamespace, Name: secret}); !retired {
		return false
	}
	var volumes corev1.PersistentVolumeList
	var contents snapshotv1.VolumeSnapshotContentList
	if err := errors.Join(admin.List(ctx, &volumes), admin.List(ctx, &contents)); err != nil {
		return true // nobody can say; it is looked at again
	}
	for i := range volumes.Items {
		if names(&volumes.Items[i], secret) {
			return false
		}
	}
	for i := range contents.Items {
		if names(&contents.Items[i], secret) {
			return false
		}
	}
	return true
}

// names is whether an object is deleted with the token of a Secret.
func names(o client.Object, secret string) bool {
	return slices.Contains(slices.Collect(maps.Values(o.GetAnnotations())), secret)
}

func (s *secrets) remember(token, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signatures[token[strings.LastIndexByte(token, '.')+1:]] = true
	s.ids[id] = true
}
