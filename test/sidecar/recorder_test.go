package sidecar

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/actors"
)

// recorder sees every write of a token Secret in a cluster.
type recorder struct {
	mu     sync.Mutex
	writes []write
}

// write is a token Secret as somebody left it.
type write struct {
	seen    time.Time
	ref     tenancy.SecretRef
	version string
	token   string
	// Of the token itself.
	subject, id     string
	issued, expires time.Time
	refresh         time.Time // by the annotation
	state           string    // by the label
}

var recorders = map[*actors.ClusterAdmin]*recorder{}

// watchTokens starts a recorder for each cluster, for as long as ctx.
func watchTokens(ctx context.Context) error {
	for _, admin := range stage.Admins {
		r := &recorder{}
		recorders[admin] = r
		labelled := informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = "bulkhead.dev/token" })
		factory := informers.NewSharedInformerFactoryWithOptions(admin.Compute.Client, 0, labelled)
		secrets := factory.Core().V1().Secrets().Informer()
		_, err := secrets.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    r.note,
			UpdateFunc: func(_, object any) { r.note(object) },
		})
		if err != nil {
			return err
		}
		factory.StartWithContext(ctx)
		if !cache.WaitForCacheSync(ctx.Done(), secrets.HasSynced) {
			return errors.New("the watch for token Secrets does not start")
		}
	}
	return nil
}

func (r *recorder) note(object any) {
	secret, ok := object.(*corev1.Secret)
	if !ok {
		return
	}
	w := write{
		seen: time.Now(), ref: tenancy.SecretRef{Namespace: secret.Namespace, Name: secret.Name},
		version: secret.ResourceVersion, token: string(secret.Data[tenancy.TokenKey]), state: secret.Labels["bulkhead.dev/token"],
	}
	w.refresh, _ = time.Parse(time.RFC3339, secret.Annotations["bulkhead.dev/refresh-after"])
	if claims, err := claimsOf(w.token); err == nil {
		w.subject, w.id = claims.Subject, claims.ID
		w.issued, w.expires = claims.IssuedAt.Time, claims.ExpiresAt.Time
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writes = append(r.writes, w)
}

// of are the writes of one Secret, in the order of their versions, each token
// once.
func (r *recorder) of(ref tenancy.SecretRef) []write {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []write
	for _, w := range r.writes {
		if w.ref != ref || (len(found) > 0 && found[len(found)-1].token == w.token) {
			continue
		}
		found = append(found, w)
	}
	return found
}

// tokens are all that were ever seen.
func (r *recorder) tokens() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var tokens []string
	for _, w := range r.writes {
		if w.token != "" && !slices.Contains(tokens, w.token) {
			tokens = append(tokens, w.token)
		}
	}
	return tokens
}

// neverBack is nil if no token was followed by one that was issued before it.
func neverBack(writes []write) error {
	for i := 1; i < len(writes); i++ {
		old, next := writes[i-1], writes[i]
		if next.issued.Before(old.issued) {
			return fmt.Errorf("%s: a token of %s was followed by one of %s", next.ref, old.issued, next.issued)
		}
	}
	return nil
}

// claimsOf reads a token, unverified: the storage cluster verifies.
func claimsOf(token string) (*jwt.RegisteredClaims, error) {
	var claims jwt.RegisteredClaims
	if _, _, err := jwt.NewParser().ParseUnverified(token, &claims); err != nil {
		return nil, errors.New("it holds no token")
	}
	if claims.IssuedAt == nil || claims.ExpiresAt == nil {
		return nil, errors.New("the token has no times")
	}
	return &claims, nil
}
