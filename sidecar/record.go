package sidecar

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	corev1apply "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

const (
	// fieldOwner owns what the sidecar applies.
	fieldOwner = "bulkhead-sidecar"

	// secretType marks our Secrets; the type of a Secret never changes, so a
	// Secret that somebody else made under a name of ours is noticed.
	secretType corev1.SecretType = "bulkhead.dev/storage-token"

	// stateLabel is stateLive on the Secret of a namespace and stateRetired on
	// that of a namespace that is gone.
	stateLabel   = "bulkhead.dev/token"
	stateLive    = "live"
	stateRetired = "retired"

	// noBackupLabel keeps Velero from storing tokens in backups.
	noBackupLabel = "velero.io/exclude-from-backup"

	namespaceAnnotation = "bulkhead.dev/namespace"
	uidAnnotation       = "bulkhead.dev/namespace-uid"
	tenantAnnotation    = "bulkhead.dev/tenant"
	subjectAnnotation   = "bulkhead.dev/subject"
	keyIDAnnotation     = "bulkhead.dev/key-id"
	expiresAnnotation   = "bulkhead.dev/expires"
	refreshAnnotation   = "bulkhead.dev/refresh-after"
)

// record is what a token Secret says of its token. All of it is public; the
// token itself is in the data.
type record struct {
	tenant  tenancy.Tenant
	subject string
	keyID   string
	// expires ends the token's life; refresh is when it should be replaced,
	// drawn when it was minted and kept here, so that a restart mints nothing.
	expires, refresh time.Time
}

// recordOf reads a Secret. A Secret whose annotations were edited by hand reads
// as one whose token has run out.
func recordOf(s *corev1.Secret) record {
	a := s.Annotations
	r := record{
		tenant:  tenancy.Tenant{Namespace: a[namespaceAnnotation], UID: a[uidAnnotation], Label: a[tenantAnnotation]},
		subject: a[subjectAnnotation],
		keyID:   a[keyIDAnnotation],
	}
	r.expires, _ = time.Parse(time.RFC3339, a[expiresAnnotation])
	r.refresh, _ = time.Parse(time.RFC3339, a[refreshAnnotation])
	return r
}

// fresh reports whether the Secret holds a token of the tenant that needs no
// replacement yet.
func (r record) fresh(s *corev1.Secret, tenant tenancy.Tenant, now time.Time) bool {
	return s.Type == secretType && len(s.Data[tenancy.TokenKey]) > 0 && r.tenant == tenant &&
		now.Before(r.refresh) && now.Before(r.expires)
}

// apply is the Secret as the sidecar wants it.
func (r record) apply(ref tenancy.SecretRef, state, token string) *corev1apply.SecretApplyConfiguration {
	annotations := map[string]string{
		namespaceAnnotation: r.tenant.Namespace,
		uidAnnotation:       r.tenant.UID,
		subjectAnnotation:   r.subject,
		keyIDAnnotation:     r.keyID,
		expiresAnnotation:   r.expires.UTC().Format(time.RFC3339),
		refreshAnnotation:   r.refresh.UTC().Format(time.RFC3339),
	}
	if r.tenant.Label != "" {
		annotations[tenantAnnotation] = r.tenant.Label
	}
	return corev1apply.Secret(ref.Name, ref.Namespace).
		WithType(secretType).
		WithLabels(map[string]string{stateLabel: state, noBackupLabel: "true"}).
		WithAnnotations(annotations).
		WithData(map[string][]byte{tenancy.TokenKey: []byte(token)})
}

func (r record) String() string {
	return fmt.Sprintf("token of %s until %s", r.subject, r.expires.Format(time.RFC3339))
}
