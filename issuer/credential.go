package issuer

import (
	"errors"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// credentialLeeway is how far the clocks of a compute cluster and the issuer
// may differ.
const credentialLeeway = 30 * time.Second

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
}

// errCredential is all that a caller whose credential does not verify is told.
var errCredential = errors.New("the subject_token is not a current ServiceAccount token of a registered compute cluster for this audience")

// errSuspended is told to a caller whose cluster the storage admin suspended.
var errSuspended = errors.New("this compute cluster is suspended")

// credentialAlgorithms are those that a Kubernetes API server signs
// ServiceAccount tokens with.
var credentialAlgorithms = []string{"RS256", "ES256", "ES384", "ES512"}

// authenticate finds out which compute cluster the credential comes from: the
// one whose key verifies it. Nothing that the credential or the request says
// of itself decides it.
func (p *Policy) authenticate(credential, audience string) (caller, error) {
	parser := jwt.NewParser(
		jwt.WithValidMethods(credentialAlgorithms),
		jwt.WithAudience(audience),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithLeeway(credentialLeeway),
	)
	unverified, _, err := jwt.NewParser().ParseUnverified(credential, &credentialClaims{})
	if err != nil {
		return caller{}, errCredential
	}
	keyID, _ := unverified.Header["kid"].(string)
	for i := range p.Clusters {
		cluster := &p.Clusters[i]
		for _, key := range cluster.JWKS.Key(keyID) {
			var claims credentialClaims
			if _, err := parser.ParseWithClaims(credential, &claims, func(*jwt.Token) (any, error) { return key.Key, nil }); err != nil {
				continue
			}
			if claims.Kubernetes.Namespace == "" || claims.Kubernetes.ServiceAccount.Name == "" {
				return caller{}, errCredential
			}
			if cluster.Suspended {
				return caller{}, errSuspended
			}
			return caller{
				cluster:        cluster,
				namespace:      claims.Kubernetes.Namespace,
				serviceAccount: claims.Kubernetes.ServiceAccount.Name,
				credentialID:   claims.ID,
			}, nil
		}
	}
	return caller{}, errCredential
}
