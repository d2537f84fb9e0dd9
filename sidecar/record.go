package sidecar

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

const (
	// fieldOwner owns what the sidecar writes.
	fieldOwner = "bulkhead-sidecar"

	// secretType marks our Secrets; the type of a Secret never changes, so a
	// Secret that somebody else made under a name of ours is noticed.
	secretType corev1.SecretType = "bulkhead.dev/storage-token"

	// stateLabel says what a token Secret is for: a state.
	stateLabel = "bulkhead.dev/token"

	// noBackupLabel keeps Velero from storing tokens in backups, and
	// noBackupAnnotation Stork and Portworx Backup.
	noBackupLabel      = "velero.io/exclude-from-backup"
	noBackupAnnotation = "stork.libopenstorage.org/skip-resource"

	subjectAnnotation = "bulkhead.dev/subject"
	keyIDAnnotation   = "bulkhead.dev/key-id"
	tokenIDAnnotation = "bulkhead.dev/token-id"
	policyAnnotation  = "bulkhead.dev/policy"
	expiresAnnotation = "bulkhead.dev/expires"
	refreshAnnotation = "bulkhead.dev/refresh-after"
)

// state is what a token Secret is for.
type state string

const (
	// live: a namespace.
	live state = "live"
	// retired: the volumes and snapshots of a namespace that is gone.
	retired state = "retired"
	// content: looking at one pre-provisioned VolumeSnapshotContent.
	content state = "content"
)

// record is what a token Secret says of its token. All of it is public; the
// token itself is in the data.
type record struct {
	tenant  tenancy.Tenant
	subject string
	// keyID and tokenID are the `kid` and `jti` of the token; the issuer's audit
	// log has the latter too.
	keyID, tokenID string
	// policy is exchange.Token.Policy when it was minted.
	policy string
	// expires ends the token's life; refresh is when it should be replaced,
	// drawn when it was minted and kept here, so that a restart mints nothing.
	expires, refresh time.Time
}

// recordOf reads a Secret; ok is false if it does not say whose it is. What was
// edited by hand reads as a token that has run out.
func recordOf(s *corev1.Secret) (r record, ok bool) {
	a := s.Annotations
	r = record{subject: a[subjectAnnotation], keyID: a[keyIDAnnotation], tokenID: a[tokenIDAnnotation], policy: a[policyAnnotation]}
	r.tenant, ok = tenancy.OriginOf(a)
	r.expires, _ = time.Parse(time.RFC3339, a[expiresAnnotation])
	r.refresh, _ = time.Parse(time.RFC3339, a[refreshAnnotation])
	return r, ok && s.Type == secretType
}

// recordAnnotations are those that recordOf reads.
var recordAnnotations = append(slices.Collect(maps.Keys(tenancy.Tenant{}.Origin())),
	subjectAnnotation, keyIDAnnotation, tokenIDAnnotation, policyAnnotation, expiresAnnotation, refreshAnnotation)

// recorded are the annotations that recordOf reads, under keys that all maps share. An
// empty one reads as one that is not there; without that of the tenant's label, which
// is mostly empty, the map takes half the space.
func recorded(all map[string]string) map[string]string {
	number := 0
	for _, key := range recordAnnotations {
		if all[key] != "" {
			number++
		}
	}
	if number == 0 {
		return nil
	}
	read := make(map[string]string, number)
	for _, key := range recordAnnotations {
		if value := all[key]; value != "" {
			read[key] = value
		}
	}
	return read
}

// labelsByState are those that are read of a Secret, one map for all of a state.
var labelsByState = map[state]map[string]string{
	live: {stateLabel: string(live)}, retired: {stateLabel: string(retired)}, content: {stateLabel: string(content)},
}

// stateLabels are the labels that are read; none for a state that is none of ours.
func stateLabels(all map[string]string) map[string]string {
	return labelsByState[state(all[stateLabel])]
}

// holds reports whether the Secret holds the very token that the record is of.
func (r record) holds(s *corev1.Secret) bool {
	var claims jwt.RegisteredClaims
	// Unverified: it was proven before it was written, this notices edits.
	token, _, err := jwt.NewParser().ParseUnverified(string(s.Data[tenancy.TokenKey]), &claims)
	if err != nil || claims.ExpiresAt == nil {
		return false
	}
	keyID, _ := token.Header["kid"].(string)
	_, own := r.tenant.SubjectOf(claims.Subject)
	return own && claims.Subject == r.subject && claims.ID == r.tokenID && keyID == r.keyID && claims.ExpiresAt.Equal(r.expires)
}

// slot is one Secret that should hold a token.
type slot struct {
	ref    tenancy.SecretRef
	state  state
	tenant tenancy.Tenant
	// owner is the object with which the garbage collector removes the Secret if
	// we are not there to do it; nil for none.
	owner *metav1.OwnerReference
	// finalizer keeps the Secret until its token has moved.
	finalizer bool
}

// secret is the Secret as the sidecar wants it.
func (s slot) secret(r record, token string) *corev1.Secret {
	annotations := map[string]string{
		noBackupAnnotation: "true",
		subjectAnnotation:  r.subject,
		keyIDAnnotation:    r.keyID,
		tokenIDAnnotation:  r.tokenID,
		policyAnnotation:   r.policy,
		expiresAnnotation:  r.expires.UTC().Format(time.RFC3339),
		refreshAnnotation:  r.refresh.UTC().Format(time.RFC3339),
	}
	maps.Copy(annotations, r.tenant.Origin())
	secret := &corev1.Secret{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.ref.Namespace, Name: s.ref.Name, Annotations: annotations,
			Labels: map[string]string{stateLabel: string(s.state), noBackupLabel: "true"},
		},
		Type: secretType,
		Data: map[string][]byte{tenancy.TokenKey: []byte(token)},
	}
	if s.owner != nil {
		secret.OwnerReferences = []metav1.OwnerReference{*s.owner}
	}
	if s.finalizer {
		secret.Finalizers = []string{Finalizer}
	}
	return secret
}

func (r record) String() string {
	return fmt.Sprintf("token of %s until %s", r.subject, r.expires.Format(time.RFC3339))
}
