package issuer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"k8s.io/klog/v2"
	"k8s.io/utils/lru"
)

const (
	// credentialLeeway is how far the clocks of a compute cluster and the
	// issuer may differ.
	credentialLeeway = 30 * time.Second
	// maxCredentialLife bounds how long a stolen credential is of use. Projected
	// tokens live an hour by default.
	maxCredentialLife = 24 * time.Hour
	// rememberedCredentials is how many verified credentials are remembered; a
	// cluster shows one or two at a time.
	rememberedCredentials = 4096
)

// credentialClaims are those of a bound ServiceAccount token (Kubernetes,
// pkg/serviceaccount/claims.go).
type credentialClaims struct {
	jwt.RegisteredClaims
	Kubernetes struct {
		Namespace      string `json:"namespace"`
		ServiceAccount struct {
			Name string `json:"name"`
		} `json:"serviceaccount"`
	} `json:"kubernetes.io"`
}

// caller is who asks, as the credential proves it.
type caller struct {
	cluster        *Cluster
	namespace      string
	serviceAccount string
	// credentialID is the `jti` of the credential, for the audit trail.
	credentialID string
	expires      time.Time
}

// errCredential is all that a caller whose credential does not verify is told;
// what wraps it is for the audit log.
var errCredential = errors.New("the subject_token is not a current ServiceAccount token of a registered compute cluster for this audience")

// errOutage is told to a caller whose cluster's keys cannot be read now.
var errOutage = errors.New("the keys of this compute cluster cannot be read at the moment")

// credentialAlgorithms are those that a Kubernetes API server signs
// ServiceAccount tokens with.
var credentialAlgorithms = []string{"RS256", "ES256", "ES384", "ES512"}

// authenticator finds out which compute cluster of one policy a credential
// comes from. It lives as long as the policy does, so that what it remembers
// never outlives a cluster that was removed or whose keys changed.
type authenticator struct {
	policy     *Policy
	audience   string
	discoverer *discoverer
	now        func() time.Time
	parser     *jwt.Parser
	remembered *lru.Cache // of the hash of a credential to its caller
}

func newAuthenticator(p *Policy, audience string, d *discoverer, now func() time.Time) *authenticator {
	return &authenticator{
		policy: p, audience: audience, discoverer: d, now: now,
		remembered: lru.New(rememberedCredentials),
		parser: jwt.NewParser(
			jwt.WithValidMethods(credentialAlgorithms),
			jwt.WithAudience(audience),
			jwt.WithExpirationRequired(),
			jwt.WithIssuedAt(),
			jwt.WithLeeway(credentialLeeway),
			jwt.WithTimeFunc(now),
		),
	}
}

// authenticate returns the cluster whose key verifies the credential. Nothing
// that the credential or the request says of itself decides it.
func (a *authenticator) authenticate(ctx context.Context, credential string) (caller, error) {
	sum := sha256.Sum256([]byte(credential))
	if hit, ok := a.remembered.Get(sum); ok {
		if who, ok := hit.(caller); ok && a.now().Before(who.expires) {
			return who, nil
		}
		a.remembered.Remove(sum)
	}
	var unverified credentialClaims
	token, _, err := jwt.NewParser().ParseUnverified(credential, &unverified)
	if err != nil {
		return caller{}, fmt.Errorf("%w: it is no JWT", errCredential)
	}
	keyID, _ := token.Header["kid"].(string)
	if _, critical := token.Header["crit"]; keyID == "" || critical {
		// RFC 7515 §4.1.11: we understand no extension.
		return caller{}, fmt.Errorf("%w: it has no key id, or a critical extension", errCredential)
	}
	why := errors.New("no registered key has its key id")
	var found []caller
	outage := false
	for _, cluster := range a.policy.Clusters {
		keys, err := a.keys(ctx, cluster, keyID, unverified.Issuer)
		if err != nil {
			outage = true
			klog.FromContext(ctx).Error(err, "The keys of a compute cluster cannot be discovered", "cluster", cluster.Name)
		}
		for _, key := range keys {
			who, err := a.verify(credential, cluster, key)
			if err == nil {
				found = append(found, who)
				break
			}
			why = fmt.Errorf("by the key of %s: %w", cluster.Name, err)
		}
	}
	if len(found) == 0 && outage {
		return caller{}, errOutage
	}
	// A static key is checked to be one cluster's alone when the policy is
	// read; discovered keys can come to be shared later, and then nobody knows
	// whose the credential is.
	switch len(found) {
	case 0:
		return caller{}, fmt.Errorf("%w: %w", errCredential, why)
	case 1:
	default:
		return caller{}, fmt.Errorf("%w: %d clusters share its key", errCredential, len(found))
	}
	// Discovered keys can go at any time, so their credentials are verified anew.
	if found[0].cluster.Discovery == "" {
		a.remembered.Add(sum, found[0])
	}
	return found[0], nil
}

// keys are those of the cluster that might verify the credential.
func (a *authenticator) keys(ctx context.Context, c *Cluster, keyID, issuer string) ([]jose.JSONWebKey, error) {
	if c.Discovery == "" {
		return c.JWKS.Key(keyID), nil
	}
	// The issuer's name does not decide; it keeps credentials of other clusters
	// from causing requests to this one.
	if issuer != c.Discovery {
		return nil, nil
	}
	return a.discoverer.keys(ctx, c.Discovery, keyID)
}

func (a *authenticator) verify(credential string, c *Cluster, key jose.JSONWebKey) (caller, error) {
	var claims credentialClaims
	if _, err := a.parser.ParseWithClaims(credential, &claims, func(*jwt.Token) (any, error) { return key.Key, nil }); err != nil {
		return caller{}, err //nolint:wrapcheck // the library says what is wrong, and holds nothing secret
	}
	who := caller{
		cluster:        c,
		namespace:      claims.Kubernetes.Namespace,
		serviceAccount: claims.Kubernetes.ServiceAccount.Name,
		credentialID:   claims.ID,
		expires:        claims.ExpiresAt.Time,
	}
	// What the API server issues for one projected volume: one audience, the
	// subject that the other claims say, and not for long.
	switch {
	case who.namespace == "" || who.serviceAccount == "" || claims.Subject != "system:serviceaccount:"+who.namespace+":"+who.serviceAccount:
		return caller{}, errors.New("it is not a ServiceAccount's")
	case len(claims.Audience) != 1:
		return caller{}, errors.New("it has several audiences")
	case claims.IssuedAt == nil || claims.ExpiresAt.Sub(claims.IssuedAt.Time) > maxCredentialLife:
		return caller{}, fmt.Errorf("it lives longer than %v", maxCredentialLife)
	}
	return who, nil
}
