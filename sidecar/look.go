package sidecar

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// LiveTokens selects, by label, the token Secrets of namespaces that are there.
const LiveTokens = stateLabel + "=" + string(live)

// RetiredTokens selects those of namespaces that are gone and left something.
const RetiredTokens = stateLabel + "=" + string(retired)

// LeasePrefix begins the name of the Lease by which a leader is elected; the name
// of the driver follows.
const LeasePrefix = "bulkhead-sidecar-"

// Token is what a token Secret says of its token. All of it is public.
type Token struct {
	Secret tenancy.SecretRef
	Tenant tenancy.Tenant
	// Subject of the token, and the compute cluster in it.
	Subject, Cluster string
	// Expires ends its life, Refresh is when it is going to be replaced, and Written
	// when it was put there; zero if the Secret does not say.
	Expires, Refresh, Written time.Time
}

// TokenOf reads the metadata of a token Secret: whoever looks need not read the
// token. ok is false if it does not say a subject of its own tenant.
func TokenOf(secret metav1.Object) (t Token, ok bool) {
	a := secret.GetAnnotations()
	t = Token{Secret: tenancy.SecretRef{Namespace: secret.GetNamespace(), Name: secret.GetName()}, Subject: a[subjectAnnotation]}
	if t.Tenant, ok = tenancy.OriginOf(a); !ok {
		return t, false
	}
	t.Expires, _ = time.Parse(time.RFC3339, a[expiresAnnotation])
	t.Refresh, _ = time.Parse(time.RFC3339, a[refreshAnnotation])
	for _, fields := range secret.GetManagedFields() {
		if fields.Manager == fieldOwner && fields.Time != nil && fields.Time.After(t.Written) {
			t.Written = fields.Time.Time
		}
	}
	t.Cluster, ok = t.Tenant.SubjectOf(t.Subject)
	return t, ok
}
