// Package issuing has a real issuer in the test's own process: its keys, policy,
// signatures and audit log, asked over a network that is not there. A test under a
// simulated clock can have no other, as waiting for a socket stops that clock.
//
// It is a package of its own because the sidecar and the issuer know nothing of each
// other but the wire: the sidecar's tests ask for a client and a key store here.
package issuing

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"github.com/bulkhead-dev/bulkhead/exchange"
	"github.com/bulkhead-dev/bulkhead/issuer"
)

// Names that the issuer goes by.
const (
	URL            = "https://issuer.example"
	StorageCluster = "storage-1"
	Cluster        = "k14c1"
)

const (
	// As the issuer's DefaultServiceAccounts have it.
	releaseNamespace = "bulkhead-system"
	serviceAccount   = "bulkhead-sidecar"
	keyID            = "key-of-the-cluster"
	ownerOnly        = 0o600
)

// Issuer is an issuer with one compute cluster.
type Issuer struct {
	// Keys are those that it signs with.
	Keys *issuer.Keys
	// CredentialFile holds what the compute cluster shows, once Renew was called.
	CredentialFile string

	handler http.Handler
	away    atomic.Bool
	granted atomic.Int64
	cluster *ecdsa.PrivateKey
}

// New makes an issuer in a folder, with a first key, that grants tokens of that life
// and serves until ctx ends. Audit lines go to a writer.
func New(ctx context.Context, dir string, life time.Duration, audit io.Writer) (*Issuer, error) {
	cluster, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("the key of the cluster: %w", err)
	}
	keys := filepath.Join(dir, "keys")
	if err := os.Mkdir(keys, 0o700); err != nil {
		return nil, fmt.Errorf("make an issuer: %w", err)
	}
	i := &Issuer{
		Keys:           &issuer.Keys{Store: issuer.DirStore(keys), Now: time.Now},
		CredentialFile: filepath.Join(dir, "token"), cluster: cluster,
	}
	if err := firstKey(filepath.Join(keys, "first.pem")); err != nil {
		return nil, err
	}
	// JSON is YAML too.
	policy, err := json.Marshal(map[string]any{
		"storageCluster": StorageCluster, "maxLife": life.String(),
		"clusters": []any{map[string]any{
			"name": Cluster, "jwks": jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: cluster.Public(), KeyID: keyID}}},
		}},
	})
	if err != nil {
		return nil, fmt.Errorf("the policy: %w", err)
	}
	policyFile := filepath.Join(dir, "policy.yaml")
	if err := os.WriteFile(policyFile, policy, ownerOnly); err != nil {
		return nil, fmt.Errorf("the policy: %w", err)
	}
	i.handler, err = issuer.Handler(ctx, issuer.Config{
		IssuerURL: URL, KeysDir: keys, PolicyFile: policyFile, Backdate: issuer.DefaultBackdate,
	}, audit)
	if err != nil {
		return nil, fmt.Errorf("make an issuer: %w", err)
	}
	return i, i.Renew()
}

func firstKey(path string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("the first key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("the first key: %w", err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), ownerOnly); err != nil {
		return fmt.Errorf("the first key: %w", err)
	}
	return nil
}

// Renew replaces the credential of the compute cluster by one of an hour, as its
// kubelet does.
func (i *Issuer) Renew() error {
	now := time.Now()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": "https://kubernetes.default.svc.cluster.local", "aud": []string{URL},
		"sub": "system:serviceaccount:" + releaseNamespace + ":" + serviceAccount, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"kubernetes.io": map[string]any{"namespace": releaseNamespace, "serviceaccount": map[string]string{"name": serviceAccount}},
	})
	token.Header["kid"] = keyID
	raw, err := token.SignedString(i.cluster)
	if err != nil {
		return fmt.Errorf("sign a credential: %w", err)
	}
	// At once, as the kubelet does: a reader must not meet half of it.
	if err := os.WriteFile(i.CredentialFile+".new", []byte(raw), ownerOnly); err != nil {
		return fmt.Errorf("write the credential: %w", err)
	}
	if err := os.Rename(i.CredentialFile+".new", i.CredentialFile); err != nil {
		return fmt.Errorf("write the credential: %w", err)
	}
	return nil
}

// Client is the compute cluster's client of the issuer.
func (i *Issuer) Client() (*exchange.Client, error) {
	client, err := exchange.NewClient(exchange.Config{
		IssuerURL: URL, CredentialFile: i.CredentialFile, StorageCluster: StorageCluster, Transport: i,
	})
	if err != nil {
		return nil, fmt.Errorf("a client: %w", err)
	}
	return client, nil
}

// Away makes the issuer one that does not answer, or one that does again.
func (i *Issuer) Away(away bool) { i.away.Store(away) }

// Granted is how many tokens it has granted.
func (i *Issuer) Granted() int64 { return i.granted.Load() }

var errAway = errors.New("connection refused")

// RoundTrip is the network to the issuer.
func (i *Issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	if i.away.Load() {
		return nil, errAway
	}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	answer := httptest.NewRecorder()
	i.handler.ServeHTTP(answer, r)
	if r.URL.Path == exchange.TokenPath && answer.Code == http.StatusOK {
		i.granted.Add(1)
	}
	return answer.Result(), nil
}
