package issuer

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/storage"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// DefaultLife is how long a token lives where the policy does not say.
const DefaultLife = time.Hour

// minLife keeps a policy from granting lives that end before a token can be
// published and used.
const minLife = 10 * time.Second

// Policy is what the storage admin decides: which compute clusters there are
// and what each may ask for. Nothing in a request widens it.
type Policy struct {
	// StorageCluster is the id of the storage cluster, the `aud` of every token.
	StorageCluster string `json:"storageCluster"`
	// MaxLife bounds the life of every token, e.g. "1h"; DefaultLife if absent.
	MaxLife metav1.Duration `json:"maxLife,omitzero"`
	// Clusters are the compute clusters, by unique name.
	Clusters []Cluster `json:"clusters"`
}

// Cluster is one compute cluster.
type Cluster struct {
	// Name is a DNS label. It ends the subject of each of the cluster's tenants.
	Name string `json:"name"`
	// JWKS holds the public keys that verify the cluster's ServiceAccount
	// tokens (RFC 7517 §5). A compute cluster *is* this key set: the `iss` of
	// its tokens is often the same in every cluster and decides nothing.
	JWKS jose.JSONWebKeySet `json:"jwks"`
	// ServiceAccounts may ask, each for one role; DefaultServiceAccounts if absent.
	ServiceAccounts []ServiceAccount `json:"serviceAccounts,omitempty"`
	// MaxLife bounds the life of the cluster's tokens; the policy's if absent.
	MaxLife metav1.Duration `json:"maxLife,omitzero"`
	// Suspended stops all minting for the cluster.
	Suspended bool `json:"suspended,omitempty"`
}

// ServiceAccount is a part of Bulkhead in a compute cluster, and the role on
// the storage cluster that its tokens carry.
type ServiceAccount struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Role      string `json:"role"`
}

// DefaultServiceAccounts are those of the chart in its default namespace: the
// sidecar gets tokens that use volumes, the webhook tokens that look at them.
func DefaultServiceAccounts() []ServiceAccount {
	return []ServiceAccount{
		{Namespace: "bulkhead-system", Name: "bulkhead-sidecar", Role: storage.TenantRole},
		{Namespace: "bulkhead-system", Name: "bulkhead-webhook", Role: storage.InspectRole},
	}
}

// ParsePolicy reads a policy from YAML. Unknown fields are errors, and so is
// anything that would leave open who a compute cluster is.
func ParsePolicy(raw []byte) (*Policy, error) {
	var p Policy
	if err := yaml.UnmarshalStrict(raw, &p); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	if p.StorageCluster == "" {
		return nil, errors.New("policy: storageCluster is missing: set it to the id of the storage cluster")
	}
	var err error
	if p.MaxLife.Duration, err = lifeOr(p.MaxLife.Duration, DefaultLife); err != nil {
		return nil, fmt.Errorf("policy: maxLife: %w", err)
	}
	names, keys := map[string]bool{}, map[string]string{}
	for i := range p.Clusters {
		c := &p.Clusters[i]
		if err := c.complete(p.MaxLife.Duration); err != nil {
			return nil, fmt.Errorf("policy: clusters[%d] %q: %w", i, c.Name, err)
		}
		if names[c.Name] {
			return nil, fmt.Errorf("policy: clusters[%d]: the name %q is taken", i, c.Name)
		}
		names[c.Name] = true
		for _, key := range c.JWKS.Keys {
			sum, err := thumbprint(key)
			if err != nil {
				return nil, fmt.Errorf("policy: clusters[%d] %q: key %q: %w", i, c.Name, key.KeyID, err)
			}
			if other, taken := keys[sum]; taken && other != c.Name {
				return nil, fmt.Errorf("policy: clusters %q and %q share the key %q: the issuer could not tell them apart", other, c.Name, key.KeyID)
			}
			keys[sum] = c.Name
		}
	}
	return &p, nil
}

func (c *Cluster) complete(maxLife time.Duration) error {
	if err := tenancy.ValidateClusterName(c.Name); err != nil {
		return err
	}
	if len(c.JWKS.Keys) == 0 {
		return errors.New("jwks has no keys: paste what `kubectl bulkhead register` prints")
	}
	for _, key := range c.JWKS.Keys {
		switch {
		case key.KeyID == "":
			return errors.New("jwks: a key has no kid")
		case !key.Valid() || !key.IsPublic():
			return fmt.Errorf("jwks: key %q is not a valid public key", key.KeyID)
		}
	}
	var err error
	if c.MaxLife.Duration, err = lifeOr(c.MaxLife.Duration, maxLife); err != nil {
		return fmt.Errorf("maxLife: %w", err)
	}
	c.MaxLife.Duration = min(c.MaxLife.Duration, maxLife)
	if len(c.ServiceAccounts) == 0 {
		c.ServiceAccounts = DefaultServiceAccounts()
	}
	for i, sa := range c.ServiceAccounts {
		if sa.Namespace == "" || sa.Name == "" || sa.Role == "" {
			return fmt.Errorf("serviceAccounts[%d]: namespace, name and role are all needed", i)
		}
		if strings.HasPrefix(sa.Role, "system.") {
			return fmt.Errorf("serviceAccounts[%d]: role %q is one of the storage cluster's own, which are too wide for a tenant; use %q or %q",
				i, sa.Role, storage.TenantRole, storage.InspectRole)
		}
	}
	return nil
}

func lifeOr(life, other time.Duration) (time.Duration, error) {
	switch {
	case life == 0:
		return other, nil
	case life < minLife:
		return 0, fmt.Errorf("%v is shorter than %v", life, minLife)
	}
	return life, nil
}

// role is what the ServiceAccount may ask for.
func (c *Cluster) role(namespace, name string) (role string, ok bool) {
	for _, sa := range c.ServiceAccounts {
		if sa.Namespace == namespace && sa.Name == name {
			return sa.Role, true
		}
	}
	return "", false
}

// Stanza is the policy entry of a compute cluster as YAML, for the storage
// admin to add to the policy.
func Stanza(name string, jwks []byte) (string, error) {
	if err := tenancy.ValidateClusterName(name); err != nil {
		return "", err
	}
	c := Cluster{Name: name}
	if err := json.Unmarshal(jwks, &c.JWKS); err != nil {
		return "", fmt.Errorf("keys of cluster %q: %w", name, err)
	}
	if err := c.complete(DefaultLife); err != nil {
		return "", fmt.Errorf("cluster %q: %w", name, err)
	}
	out, err := yaml.Marshal([]any{map[string]any{"name": name, "jwks": c.JWKS}})
	if err != nil {
		return "", fmt.Errorf("cluster %q: %w", name, err)
	}
	return string(out), nil
}
