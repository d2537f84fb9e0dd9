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

// Layout says where the token Secrets lie.
type Layout struct {
	// TokenNamespace is the locked namespace that holds every token Secret.
	TokenNamespace string
	// Template is the name of a token Secret with Placeholder once in it,
	// and without dots: those are kept for retired Secrets.
	Template string
}

// Validate reports a layout whose Secrets could not be named or would collide.
func (l Layout) Validate() error {
	if len(validation.IsDNS1123Label(l.TokenNamespace)) > 0 {
		return fmt.Errorf("token namespace %q is not a DNS label", l.TokenNamespace)
	}
	if strings.Count(l.Template, Placeholder) != 1 || strings.Contains(l.Template, ".") {
		return fmt.Errorf("token Secret template %q: want %s exactly once and no dot", l.Template, Placeholder)
	}
	// The longest name of a namespace shows whether every name is valid.
	longest := l.name(strings.Repeat("n", validation.DNS1123LabelMaxLength))
	if errs := validation.IsDNS1123Subdomain(longest); len(errs) > 0 {
		return fmt.Errorf("token Secret template %q: %s", l.Template, errs[0])
	}
	return nil
}

func (l Layout) name(namespace string) string {
	return strings.Replace(l.Template, Placeholder, namespace, 1)
}

// TokenSecret is the Secret that holds the token of a namespace.
func (l Layout) TokenSecret(namespace string) SecretRef {
	return SecretRef{l.TokenNamespace, l.name(namespace)}
}

// RetiredSecret is the Secret to which the last token of a deleted namespace
// moves: named by the uid, so that a namespace made again under the same name
// does not meet it.
func (l Layout) RetiredSecret(uid string) SecretRef {
	return SecretRef{l.TokenNamespace, "retired." + uid}
}

// ClaimTemplate is TokenSecret as the external-provisioner resolves it: by the
// namespace of the claim alone (the other placeholders are the tenant's to
// choose).
func (l Layout) ClaimTemplate() SecretRef { return l.TokenSecret("${pvc.namespace}") }

// SnapshotTemplate is TokenSecret as the external-snapshotter resolves it.
func (l Layout) SnapshotTemplate() SecretRef { return l.TokenSecret("${volumesnapshot.namespace}") }
