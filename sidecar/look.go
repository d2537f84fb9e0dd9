package sidecar

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// LiveTokens selects, by label, the token Secrets of namespaces that are there.
const LiveTokens = stateLabel + "=" + string(live)

// RetiredTokens selects those of namespaces that are gone and left something.
const RetiredTokens = stateLabel + "=" + string(retired)

// SubjectOf is the subject of the token in a token Secret, by what the Secret
// says of it; ok is false if it does not say one of its own tenant. It takes the
// metadata alone: whoever looks need not read the token.
func SubjectOf(secret metav1.Object) (subject, cluster string, ok bool) {
	tenant, ok := tenancy.OriginOf(secret.GetAnnotations())
	if !ok {
		return "", "", false
	}
	subject = secret.GetAnnotations()[subjectAnnotation]
	cluster, ok = tenant.SubjectOf(subject)
	return subject, cluster, ok
}
