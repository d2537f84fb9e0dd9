package sidecar

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/exchange"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// fuzzNow stands, so that what is found means the same in the next run.
func fuzzNow() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

func fuzzTenant() tenancy.Tenant { return tenancy.Tenant{Namespace: "a", UID: uidOld} }

func fuzzGrant() grantOf {
	return grantOf{fuzzTenant().Subject("k14c1"), "token-1", "key-1", "policy-1", fuzzNow().Add(time.Hour), time.Hour}
}

// Whatever the issuer grants and the storage cluster says to it: what is published
// is a token of the tenant that was asked for, that was accepted, and that is
// replaced before it ends.
func FuzzProve(f *testing.F) {
	header, good := []byte(`{"alg":"ES256","kid":"key-1"}`), `{"sub":"`+fuzzGrant().subject+`","jti":"token-1","exp":1767326645}`
	f.Add(header, []byte(good), int64(time.Hour), uint32(codes.OK), false)
	f.Add(header, []byte(good), int64(time.Hour), uint32(codes.Unauthenticated), true)
	f.Add(header, []byte(good), int64(1<<62), uint32(codes.OK), false)
	f.Add(header, []byte(`{"sub":"b.`+uidNew+`@k14c1","exp":1767326645}`), int64(time.Hour), uint32(codes.OK), false)
	f.Add([]byte(`{"alg":"none"}`), []byte(`{"exp":1e400}`), int64(time.Hour), uint32(codes.Unavailable), false)
	f.Fuzz(func(t *testing.T, header, claims []byte, life int64, code uint32, burst bool) {
		part := base64.RawURLEncoding.EncodeToString
		token := exchange.Token{Raw: part(header) + "." + part(claims) + ".c2lnbmF0dXJl", Life: time.Duration(life), Policy: "policy-1"}
		asked := false
		accept := func(_ context.Context, raw string) error {
			asked = true
			if raw != token.Raw {
				t.Error("another token was proven")
			}
			return grpcstatus.Error(codes.Code(code), "as it says")
		}
		r, err := prove(t.Context(), accept, fuzzTenant(), token, fuzzNow(), burst)
		if err != nil {
			if !isProof(err) || (alone(err) && isOutage(err)) {
				t.Errorf("another error: %v", err)
			}
			return
		}
		var said struct {
			Subject string           `json:"sub"`
			Expires *jwt.NumericDate `json:"exp"`
		}
		if err := json.Unmarshal(claims, &said); err != nil || said.Expires == nil {
			t.Fatalf("accepted %s: %v", claims, err)
		}
		if _, own := fuzzTenant().SubjectOf(said.Subject); !own || r.subject != said.Subject || r.tenant != fuzzTenant() {
			t.Errorf("%q was taken for a token of %v", said.Subject, fuzzTenant())
		}
		if !asked || codes.Code(code) != codes.OK {
			t.Errorf("published after %v", codes.Code(code))
		}
		if !r.expires.Equal(said.Expires.Time) || !fuzzNow().Before(r.expires) || r.refresh.Before(fuzzNow()) || r.refresh.After(r.expires) {
			t.Errorf("ends at %v, taken down with the end %v and refresh %v", said.Expires, r.expires, r.refresh)
		}
	})
}

// Whatever a token Secret says, where its tenant can edit it: what is taken for
// fresh holds a token of that tenant that has not ended, and is replaced before it
// does.
func FuzzTokenSecret(f *testing.F) {
	good := fuzzGrant()
	written := slot{ref: tenancy.SecretRef{Namespace: "tokens", Name: "a"}, tenant: fuzzTenant()}.secret(record{
		fuzzTenant(), good.subject, good.keyID, good.id, good.policy, good.expires, fuzzNow().Add(40 * time.Minute),
	}, good.token().Raw)
	add := func(change func(*corev1.Secret)) {
		s := written.DeepCopy()
		change(s)
		annotations, err := json.Marshal(s.Annotations)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(annotations, string(s.Type), s.Data[tenancy.TokenKey])
	}
	add(func(*corev1.Secret) {})
	add(func(s *corev1.Secret) { s.Type = corev1.SecretTypeOpaque })
	add(func(s *corev1.Secret) { s.Annotations[refreshAnnotation] = "2999-01-01T00:00:00Z" })
	add(func(s *corev1.Secret) { s.Annotations[expiresAnnotation] = "0000-01-01T00:00:00+23:59" })
	add(func(s *corev1.Secret) { s.Annotations[tenancy.TenantLabel] = "c" })
	add(func(s *corev1.Secret) { s.Annotations[subjectAnnotation] = "b." + uidNew + "@k14c1" })
	add(func(s *corev1.Secret) { s.Data = nil })
	f.Fuzz(func(t *testing.T, annotations []byte, secretType string, token []byte) {
		s := &corev1.Secret{Type: corev1.SecretType(secretType), Data: map[string][]byte{tenancy.TokenKey: token}}
		if json.Unmarshal(annotations, &s.Annotations) != nil {
			return // the API server would refuse it
		}
		r, ok := recordOf(s)
		own := slot{ref: tenancy.SecretRef{Namespace: "tokens", Name: "a"}, tenant: fuzzTenant()}
		m := &minter{inForce: &inForce{}}
		if m.due(r, own, s, fuzzNow()) == "" {
			var claims jwt.RegisteredClaims
			if _, _, err := jwt.NewParser().ParseUnverified(string(token), &claims); err != nil || claims.ExpiresAt == nil {
				t.Fatal("taken for fresh: what is no token, or one that never ends")
			}
			if _, mine := fuzzTenant().SubjectOf(claims.Subject); !mine || !fuzzNow().Before(claims.ExpiresAt.Time) || r.refresh.After(claims.ExpiresAt.Time) {
				t.Errorf("taken for fresh: of %q, until %v, to be replaced at %v", claims.Subject, claims.ExpiresAt, r.refresh)
			}
		}
		if public, named := TokenOf(s); named && (public.Tenant != r.tenant || public.Tenant.Subject(public.Cluster) != public.Subject) {
			t.Errorf("reads as %+v and as %+v", public, r)
		}
		if !ok || r.expires.Nanosecond() != 0 || r.refresh.Nanosecond() != 0 {
			return
		}
		again, ok := recordOf(slot{ref: own.ref, tenant: r.tenant}.secret(r, string(token)))
		if !ok || again.tenant != r.tenant || again.subject != r.subject || again.tokenID != r.tokenID || again.keyID != r.keyID || again.policy != r.policy {
			t.Errorf("%+v was written and reads as %+v", r, again)
		}
	})
}

// Whatever the status of a sidecar says: it is healthy only if it says so of each
// condition.
func FuzzStatus(f *testing.F) {
	f.Add([]byte(`[{"type":"CredentialValid","status":"True"},{"type":"IssuerReachable","status":"True"},{"type":"StorageReachable","status":"True"}]`))
	f.Add([]byte(`[{"type":"CredentialValid","status":"True"},{"type":"CredentialValid","status":"False","reason":"Refused"}]`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if healthy(string(text)) != nil {
			return
		}
		var conditions []metav1.Condition
		if err := json.Unmarshal(text, &conditions); err != nil {
			t.Fatal(err)
		}
		for _, condition := range conditionTypes() {
			if !meta.IsStatusConditionTrue(conditions, condition) {
				t.Errorf("healthy without %s", condition)
			}
		}
	})
}
