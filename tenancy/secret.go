package tenancy

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// TokenKey is the key of a token Secret under which the driver looks for the
// token. Any other key silently makes the caller a guest (openstorage
// pkg/auth/secrets, SecretTokenKey).
const TokenKey = "auth-token"

// Placeholder stands for the name of the namespace in Layout.Template.
const Placeholder = "${namespace}"

// SecretRef names a Secret.
type SecretRef struct {
	Namespace, Name string
}

func (r SecretRef) String() string { return r.Namespace + "/" + r.Name }

// Placement is where the token Secrets of live namespaces lie.
type Placement string

const (
	// Central keeps them in the token namespace, closed to tenants.
	Central Placement = "central"
	// InTenant keeps each in the namespace that it is for, under one fixed
	// name, for clusters whose Stork must resolve it. A tenant can read its own.
	InTenant Placement = "tenant"
)

// Layout says where the token Secrets lie.
type Layout struct {
	// Placement is Central if empty.
	Placement Placement
	// TokenNamespace is the locked namespace that holds the token Secrets,
	// whichever the placement the retired ones and those of contents.
	TokenNamespace string
	// Template is the name of a token Secret without dots, as names with a dot
	// are kept for the other kinds: with Placeholder once in it, or, in
	// placement InTenant, without.
	Template string
}

// Validate reports a layout whose Secrets could not be named or would collide.
func (l Layout) Validate() error {
	if len(validation.IsDNS1123Label(l.TokenNamespace)) > 0 {
		return fmt.Errorf("token namespace %q is not a DNS label", l.TokenNamespace)
	}
	var placeholders int
	switch l.Placement {
	case Central, "":
		placeholders = 1
	case InTenant:
	default:
		return fmt.Errorf("placement %q: want %s or %s", l.Placement, Central, InTenant)
	}
	if strings.Count(l.Template, Placeholder) != placeholders || strings.Contains(l.Template, ".") {
		if l.Placement == InTenant {
			return fmt.Errorf("token Secret template %q: in placement %s want a fixed name without a dot", l.Template, l.Placement)
		}
		return fmt.Errorf("token Secret template %q: want %s exactly once and no dot", l.Template, Placeholder)
	}
	// The longest name of a namespace shows whether every name is valid.
	longest := l.TokenSecret(strings.Repeat("n", validation.DNS1123LabelMaxLength)).Name
	if errs := validation.IsDNS1123Subdomain(longest); len(errs) > 0 {
		return fmt.Errorf("token Secret template %q: %s", l.Template, errs[0])
	}
	return nil
}

// TokenSecret is the Secret that holds the token of a namespace.
func (l Layout) TokenSecret(namespace string) SecretRef {
	if l.Placement == InTenant {
		return SecretRef{namespace, l.Template}
	}
	return SecretRef{l.TokenNamespace, strings.Replace(l.Template, Placeholder, namespace, 1)}
}

// NamespaceOf is the reverse of TokenSecret.
func (l Layout) NamespaceOf(ref SecretRef) (namespace string, ok bool) {
	if l.Placement == InTenant {
		return ref.Namespace, ref.Name == l.Template && ref.Namespace != l.TokenNamespace
	}
	prefix, suffix, _ := strings.Cut(l.Template, Placeholder)
	namespace, starts := strings.CutPrefix(ref.Name, prefix)
	namespace, ends := strings.CutSuffix(namespace, suffix)
	return namespace, ref.Namespace == l.TokenNamespace && starts && ends && len(validation.IsDNS1123Label(namespace)) == 0
}

const (
	retiredPrefix = "retired."
	contentPrefix = "content."
)

// RetiredSecret is the Secret to which the last token of a deleted namespace
// moves: named by the uid, so that a namespace made again under the same name
// does not meet it.
func (l Layout) RetiredSecret(uid string) SecretRef {
	return SecretRef{l.TokenNamespace, retiredPrefix + uid}
}

// RetiredOf is the reverse of RetiredSecret.
func (l Layout) RetiredOf(ref SecretRef) (uid string, ok bool) {
	uid, ok = strings.CutPrefix(ref.Name, retiredPrefix)
	return uid, ok && ref.Namespace == l.TokenNamespace
}

// ContentSecret is the Secret by which the external-snapshotter looks at a
// pre-provisioned VolumeSnapshotContent: for that call it can resolve nothing
// but the name of the content.
func (l Layout) ContentSecret(content string) SecretRef {
	return SecretRef{l.TokenNamespace, contentPrefix + content}
}

// ContentOf is the reverse of ContentSecret.
func (l Layout) ContentOf(ref SecretRef) (content string, ok bool) {
	content, ok = strings.CutPrefix(ref.Name, contentPrefix)
	return content, ok && ref.Namespace == l.TokenNamespace
}

// ClaimTemplate is TokenSecret as the external-provisioner resolves it: by the
// namespace of the claim alone (the other placeholders are the tenant's to
// choose).
func (l Layout) ClaimTemplate() SecretRef { return l.TokenSecret("${pvc.namespace}") }

// SnapshotTemplate is TokenSecret as the external-snapshotter resolves it.
func (l Layout) SnapshotTemplate() SecretRef { return l.TokenSecret("${volumesnapshot.namespace}") }

// GroupSnapshotTemplate is TokenSecret as the external-snapshotter resolves it
// for a group.
func (l Layout) GroupSnapshotTemplate() SecretRef {
	return l.TokenSecret("${volumegroupsnapshot.namespace}")
}

// ContentTemplate is ContentSecret as the external-snapshotter resolves it.
func (l Layout) ContentTemplate() SecretRef { return l.ContentSecret("${volumesnapshotcontent.name}") }
