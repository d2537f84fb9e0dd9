// Package tenancy holds the rules by which a Kubernetes namespace becomes a
// tenant of the shared storage: who the tenant is, under which subject the
// storage cluster knows it, where its token lies and by which keys Kubernetes
// and the driver are pointed to that token. It is pure: no clients, no servers.
package tenancy

import (
	"fmt"
	"strings"

	"github.com/google/uuid"
	"k8s.io/apimachinery/pkg/util/validation"
)

// TenantLabel on a namespace joins it with all namespaces of the compute
// cluster that carry the same value: together they are one tenant.
const TenantLabel = "bulkhead.dev/tenant"

// labelledPrefix starts the subject of a labelled tenant. A slash can occur
// neither in a namespace name nor in a label value, so a labelled tenant and a
// plain one never share a subject.
const labelledPrefix = "tenant/"

// Tenant is one tenant of a compute cluster, seen from one of its namespaces.
type Tenant struct {
	// Namespace is the name of the namespace (a DNS label).
	Namespace string
	// UID is the namespace's metadata.uid. It tells a namespace from another
	// one of the same name that was deleted before.
	UID string
	// Label is the value of TenantLabel, empty for a namespace that is a
	// tenant of its own.
	Label string
}

// Of returns the tenant that a namespace belongs to.
func Of(namespace, uid string, labels map[string]string) Tenant {
	return Tenant{Namespace: namespace, UID: uid, Label: labels[TenantLabel]}
}

// Same reports whether both belong to one tenant of the same compute cluster.
func (t Tenant) Same(o Tenant) bool {
	if t.Label != "" || o.Label != "" {
		return t.Label == o.Label
	}
	return t.Namespace == o.Namespace && t.UID == o.UID
}

// Subject is the `sub` claim of the tenant's tokens and so the owner of its
// volumes: "<namespace>.<namespace uid>@<cluster>", or "tenant/<label>@<cluster>"
// for a labelled tenant.
func (t Tenant) Subject(cluster string) string {
	if t.Label != "" {
		return labelledPrefix + t.Label + "@" + cluster
	}
	return t.Namespace + "." + t.UID + "@" + cluster
}

// String names the tenant for people. It holds nothing secret.
func (t Tenant) String() string {
	if t.Label != "" {
		return labelledPrefix + t.Label
	}
	return t.Namespace
}

// SubjectOf reports whether subject is that of t in some compute cluster, and
// in which. A compute cluster is not told its own name, so this is how its
// parts check that a token was made out to the tenant they asked for.
func (t Tenant) SubjectOf(subject string) (cluster string, ok bool) {
	own, cluster, found := strings.Cut(subject, "@")
	if !found || cluster == "" || strings.Contains(cluster, "@") {
		return "", false
	}
	return cluster, own+"@" == t.Subject("")
}

// ClusterOf is the compute cluster of a subject; ok is false if it is the subject of
// no tenant of any.
func ClusterOf(subject string) (cluster string, ok bool) {
	own, cluster, _ := strings.Cut(subject, "@")
	if ValidateClusterName(cluster) != nil {
		return "", false
	}
	if label, labelled := strings.CutPrefix(own, labelledPrefix); labelled {
		return cluster, label != "" && len(validation.IsValidLabelValue(label)) == 0
	}
	namespace, uid, _ := strings.Cut(own, ".")
	return cluster, Tenant{Namespace: namespace, UID: uid}.Validate() == nil
}

// Validate reports a tenant that cannot be named unambiguously in a subject.
func (t Tenant) Validate() error {
	switch {
	case len(validation.IsDNS1123Label(t.Namespace)) > 0:
		return fmt.Errorf("namespace %.80q is not a DNS label", t.Namespace)
	case !isCanonicalUUID(t.UID):
		return fmt.Errorf("namespace uid %.80q is not a UUID in lower case", t.UID)
	case len(validation.IsValidLabelValue(t.Label)) > 0:
		return fmt.Errorf("tenant %.80q is not a label value", t.Label)
	}
	return nil
}

// isCanonicalUUID accepts the one textual form (RFC 9562 §4) that Kubernetes
// writes; any other would give one namespace several subjects.
func isCanonicalUUID(s string) bool {
	parsed, err := uuid.Parse(s)
	return err == nil && parsed.String() == s
}

// ValidateClusterName checks the name of a compute cluster: a DNS label.
func ValidateClusterName(name string) error {
	if len(validation.IsDNS1123Label(name)) > 0 {
		return fmt.Errorf("cluster name %.80q is not a DNS label: at most 63 lower-case letters, digits and dashes", name)
	}
	return nil
}
