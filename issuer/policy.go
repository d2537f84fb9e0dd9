package issuer

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/time/rate"

	"github.com/bulkhead-dev/bulkhead/storage"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// DefaultLife is how long a token lives where the policy does not say.
const DefaultLife = time.Hour

const (
	// minLife keeps a policy from granting lives that end before a token can be
	// published and used; maxLife keeps short life what revokes a token.
	minLife = 10 * time.Second
	maxLife = 24 * time.Hour
)

// Policy is what the storage admin decides: which compute clusters there are
// and what each may ask for. Nothing in a request widens it.
type Policy struct {
	// StorageCluster is the id of the storage cluster, the `aud` of every token.
	StorageCluster string `yaml:"storageCluster"`
	// MaxLife bounds the life of every token, e.g. "1h"; DefaultLife if absent.
	MaxLife time.Duration `yaml:"maxLife"`
	// RateLimit bounds the exchanges of each cluster that has none of its own;
	// DefaultRateLimit if absent.
	RateLimit RateLimit `yaml:"rateLimit"`
	// Clusters are the compute clusters, by unique name.
	Clusters []*Cluster `yaml:"clusters"`
}

// Cluster is one compute cluster.
type Cluster struct {
	// Name is a DNS label. It ends the subject of each of the cluster's tenants.
	Name string `yaml:"name"`
	// JWKS holds the public keys that verify the cluster's ServiceAccount
	// tokens (RFC 7517 §5). A compute cluster *is* this key set: the `iss` of
	// its tokens is often the same in every cluster and decides nothing.
	JWKS KeySet `yaml:"jwks"`
	// Discovery is the cluster's ServiceAccount issuer URL, where its keys are
	// read instead of from JWKS: for clusters whose issuer is public.
	Discovery string `yaml:"discovery"`
	// ServiceAccounts may ask, each for one role; DefaultServiceAccounts if absent.
	ServiceAccounts []ServiceAccount `yaml:"serviceAccounts"`
	// Namespaces and Tenants say for which the cluster may ask; a plain
	// namespace is judged by the first, a labelled one by both.
	Namespaces Filter `yaml:"namespaces"`
	Tenants    Filter `yaml:"tenants"`
	// MaxLife bounds the life of the cluster's tokens; the policy's if absent.
	MaxLife time.Duration `yaml:"maxLife"`
	// Claims are added to the cluster's tokens. They cannot replace a claim
	// that decides anything.
	Claims map[string]string `yaml:"claims"`
	// RateLimit bounds the cluster's exchanges; the policy's if absent.
	RateLimit RateLimit `yaml:"rateLimit"`
	// Suspended stops all minting for the cluster.
	Suspended bool `yaml:"suspended"`

	// limiters are the buckets of its ServiceAccounts, each of its own: what one
	// part of Bulkhead asks does not keep another from asking.
	limiters map[string]*rate.Limiter
}

// ServiceAccount is a part of Bulkhead in a compute cluster, and the role on
// the storage cluster that its tokens carry.
type ServiceAccount struct {
	Namespace string `yaml:"namespace"`
	Name      string `yaml:"name"`
	Role      string `yaml:"role"`
}

func (sa ServiceAccount) id() string { return sa.Namespace + "/" + sa.Name }

// Filter admits names by globs (path.Match): one of Allow must match, unless it
// is absent, and none of Deny. An empty list of Allow admits nothing.
type Filter struct {
	Allow []string `yaml:"allow"`
	Deny  []string `yaml:"deny"`
}

// RateLimit is a token bucket.
type RateLimit struct {
	// PerSecond is how many exchanges are granted in the long run.
	PerSecond float64 `yaml:"perSecond"`
	// Burst is how many may come at once: a new install asks for all
	// namespaces of a cluster.
	Burst int `yaml:"burst"`
}

// DefaultRateLimit lets a cluster of 10,000 namespaces get all its tokens
// within minutes, and no cluster keep the issuer from the others.
func DefaultRateLimit() RateLimit { return RateLimit{PerSecond: 100, Burst: 500} }

// DefaultServiceAccounts are those of the chart in its default namespace: the
// sidecar gets tokens that use volumes, the webhook tokens that look at them.
func DefaultServiceAccounts() []ServiceAccount {
	return []ServiceAccount{
		{Namespace: "bulkhead-system", Name: "bulkhead-sidecar", Role: storage.TenantRole},
		{Namespace: "bulkhead-system", Name: "bulkhead-webhook", Role: storage.InspectRole},
	}
}

// digest changes when the policy would give the same tenant another token. It
// hides what the policy says: 48 bits of SHA-256 over what is in the token too.
func (p *Policy) digest(c *Cluster, role string) string {
	sum := sha256.New()
	// A map is encoded in the order of its keys.
	_ = json.NewEncoder(sum).Encode([]any{p.StorageCluster, c.Name, role, c.MaxLife, c.Claims})
	return hex.EncodeToString(sum.Sum(nil)[:6])
}

// fieldError is a fault of a policy and the path of the field that has it, each
// element a key or an index.
type fieldError struct {
	path []any
	err  error
}

func (e *fieldError) Error() string {
	var name strings.Builder
	for _, element := range e.path {
		if index, ok := element.(int); ok {
			fmt.Fprintf(&name, "[%d]", index)
			continue
		}
		if name.Len() > 0 {
			name.WriteByte('.')
		}
		fmt.Fprint(&name, element)
	}
	return name.String() + ": " + e.err.Error()
}

func (e *fieldError) Unwrap() error { return e.err }

func at(err error, path ...any) error {
	var inner *fieldError
	if errors.As(err, &inner) {
		return &fieldError{append(path, inner.path...), inner.err}
	}
	return &fieldError{path, err}
}

// complete fills in defaults and refuses whatever would leave open who a
// compute cluster is or what it may have.
func (p *Policy) complete() error {
	if p.StorageCluster == "" {
		return at(errors.New("missing: set it to the id of the storage cluster"), "storageCluster")
	}
	var err error
	if p.MaxLife, err = lifeOr(p.MaxLife, DefaultLife); err != nil {
		return at(err, "maxLife")
	}
	if p.RateLimit, err = p.RateLimit.or(DefaultRateLimit()); err != nil {
		return at(err, "rateLimit")
	}
	names, urls, keys := map[string]bool{}, map[string]bool{}, map[string]string{}
	for i, c := range p.Clusters {
		if c == nil {
			return at(errors.New("empty"), "clusters", i)
		}
		if err := c.complete(p); err != nil {
			return at(err, "clusters", i)
		}
		if names[c.Name] {
			return at(fmt.Errorf("%q is taken", c.Name), "clusters", i, "name")
		}
		names[c.Name] = true
		if url := strings.ToLower(strings.TrimRight(c.Discovery, "/")); url != "" {
			if urls[url] {
				return at(errors.New("another cluster has the same: the issuer could not tell them apart"), "clusters", i, "discovery")
			}
			urls[url] = true
		}
		for _, key := range c.JWKS.Keys {
			sum, err := thumbprint(key)
			if err != nil {
				return at(err, "clusters", i, "jwks")
			}
			if other, taken := keys[sum]; taken {
				return at(fmt.Errorf("clusters %q and %q share the key %q: the issuer could not tell them apart", other, c.Name, key.KeyID), "clusters", i, "jwks")
			}
			keys[sum] = c.Name
		}
	}
	return nil
}

func (c *Cluster) complete(p *Policy) error {
	if err := tenancy.ValidateClusterName(c.Name); err != nil {
		return at(err, "name")
	}
	switch {
	case c.Discovery != "" && len(c.JWKS.Keys) > 0:
		return at(errors.New("a cluster has either jwks or discovery"), "discovery")
	case c.Discovery != "":
		if err := checkDiscoveryURL(c.Discovery); err != nil {
			return at(err, "discovery")
		}
	case len(c.JWKS.Keys) == 0:
		return at(errors.New("no keys: paste what `kubectl bulkhead register` prints"), "jwks")
	}
	if err := checkKeySet(c.JWKS.Keys); err != nil {
		return at(err, "jwks")
	}
	var err error
	if c.MaxLife, err = lifeOr(c.MaxLife, p.MaxLife); err != nil {
		return at(err, "maxLife")
	}
	c.MaxLife = min(c.MaxLife, p.MaxLife)
	if c.RateLimit, err = c.RateLimit.or(p.RateLimit); err != nil {
		return at(err, "rateLimit")
	}
	if err := c.completeServiceAccounts(); err != nil {
		return err
	}
	c.limiters = map[string]*rate.Limiter{}
	for _, sa := range c.ServiceAccounts {
		c.limiters[sa.id()] = rate.NewLimiter(rate.Limit(c.RateLimit.PerSecond), c.RateLimit.Burst)
	}
	if err := c.Namespaces.check(); err != nil {
		return at(err, "namespaces")
	}
	if err := c.Tenants.check(); err != nil {
		return at(err, "tenants")
	}
	for name := range c.Claims {
		if decisive(name) {
			return at(errors.New("the issuer sets this claim itself"), "claims", name)
		}
	}
	return nil
}

func (c *Cluster) completeServiceAccounts() error {
	if c.ServiceAccounts == nil { // an empty list means nobody
		c.ServiceAccounts = DefaultServiceAccounts()
	}
	seen := map[string]bool{}
	for i, sa := range c.ServiceAccounts {
		id := sa.id()
		switch {
		case sa.Namespace == "" || sa.Name == "" || sa.Role == "":
			return at(errors.New("namespace, name and role are all needed"), "serviceAccounts", i)
		case seen[id]:
			return at(fmt.Errorf("%s is there twice: it has one role", id), "serviceAccounts", i)
		case strings.HasPrefix(sa.Role, "system."):
			return at(fmt.Errorf("%q is one of the storage cluster's own, which are too wide for a tenant; use %q or %q",
				sa.Role, storage.TenantRole, storage.InspectRole), "serviceAccounts", i, "role")
		}
		seen[id] = true
	}
	return nil
}

// account is the policy's entry for a ServiceAccount, if it may ask at all.
func (c *Cluster) account(namespace, name string) (sa ServiceAccount, ok bool) {
	for _, sa := range c.ServiceAccounts {
		if sa.Namespace == namespace && sa.Name == name {
			return sa, true
		}
	}
	return ServiceAccount{}, false
}

// serves reports whether the cluster may ask for the tenant.
func (c *Cluster) serves(t tenancy.Tenant) bool {
	return c.Namespaces.admits(t.Namespace) && (t.Label == "" || c.Tenants.admits(t.Label))
}

func (f Filter) check() error {
	for _, glob := range append(append([]string(nil), f.Allow...), f.Deny...) {
		if _, err := path.Match(glob, ""); err != nil || glob == "" {
			return fmt.Errorf("%q is not a glob", glob)
		}
	}
	return nil
}

func (f Filter) admits(name string) bool {
	return (f.Allow == nil || matches(f.Allow, name)) && !matches(f.Deny, name)
}

func matches(globs []string, name string) bool {
	for _, glob := range globs {
		if ok, err := path.Match(glob, name); ok && err == nil {
			return true
		}
	}
	return false
}

func (r RateLimit) or(other RateLimit) (RateLimit, error) {
	switch {
	case r == RateLimit{}:
		return other, nil
	case !(r.PerSecond > 0) || math.IsInf(r.PerSecond, 0) || r.Burst < 1: // NaN is not above zero either
		return r, errors.New("perSecond and burst must both be above zero")
	}
	return r, nil
}

func lifeOr(life, other time.Duration) (time.Duration, error) {
	switch {
	case life == 0:
		return other, nil
	case life < minLife || life > maxLife:
		return 0, fmt.Errorf("%v: want %v to %v", life, minLife, maxLife)
	}
	return life, nil
}

// maxKeys is how many keys a cluster has at most: each that has the key id of a
// forged credential costs a verification.
const maxKeys = 32

// checkKeySet refuses key sets that are large or ambiguous.
func checkKeySet(keys []jose.JSONWebKey) error {
	if len(keys) > maxKeys {
		return fmt.Errorf("%d keys: want at most %d", len(keys), maxKeys)
	}
	ids := map[string]bool{}
	for _, key := range keys {
		if err := checkPublicKey(key); err != nil {
			return err
		}
		if ids[key.KeyID] {
			return fmt.Errorf("the key id %q is there twice", key.KeyID)
		}
		ids[key.KeyID] = true
	}
	return nil
}

// checkPublicKey refuses what is not the public half of a signing key: a
// private key does not belong in a policy, and a symmetric one would let
// whoever can read the policy sign.
func checkPublicKey(key jose.JSONWebKey) error {
	switch {
	case key.KeyID == "":
		return errors.New("a key has no kid")
	case !key.Valid() || !key.IsPublic():
		return fmt.Errorf("key %q is not a valid public key", key.KeyID)
	case key.Use != "" && key.Use != "sig":
		return fmt.Errorf("key %q is not for signatures", key.KeyID)
	}
	switch public := key.Key.(type) {
	case *ecdsa.PublicKey: // a curve that JOSE knows is strong enough
	case *rsa.PublicKey:
		if public.N.BitLen() < minRSABits {
			return fmt.Errorf("key %q has %d bits: want %d", key.KeyID, public.N.BitLen(), minRSABits)
		}
	default:
		return fmt.Errorf("key %q is neither EC nor RSA, as the keys of ServiceAccount tokens are", key.KeyID)
	}
	return nil
}

// Stanza is the policy entry of a compute cluster as YAML, for the storage
// admin to add to the policy.
func Stanza(name string, jwks []byte) (string, error) {
	c := &Cluster{Name: name}
	if err := json.Unmarshal(jwks, &c.JWKS.JSONWebKeySet); err != nil {
		return "", fmt.Errorf("keys of cluster %q: %w", name, err)
	}
	if err := c.complete(&Policy{MaxLife: DefaultLife, RateLimit: DefaultRateLimit()}); err != nil {
		return "", fmt.Errorf("cluster %q: %w", name, err)
	}
	return encodeStanza(c)
}
