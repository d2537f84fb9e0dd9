package sidecar

import (
	"reflect"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

func TestTheCacheKeepsWhatIsReadOfASecretAndNothingElse(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Second)
	tenant := tenancy.Tenant{Namespace: "a", UID: "0b1d3a52-5a0c-4f3e-9d2f-0c6f8a1b2c3d", Label: "fin"}
	want := record{
		tenant: tenant, subject: tenant.Subject("k14c1"), keyID: "k", tokenID: "t", policy: "p", expires: now.Add(time.Hour), refresh: now,
	}
	for _, s := range []state{live, retired, content, "somebody's"} {
		secret := slot{ref: tenancy.SecretRef{Namespace: "tokens", Name: "x"}, state: s, tenant: tenant}.secret(want, "token")
		created, yes := metav1.NewTime(now), true
		identity := metav1.ObjectMeta{
			Namespace: "tokens", Name: "x", UID: "u", ResourceVersion: "1", CreationTimestamp: created, DeletionTimestamp: &created,
			Finalizers: []string{Finalizer}, OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Namespace", Name: "a", UID: "u"}},
		}
		whole := identity
		whole.Annotations, whole.Labels, whole.Generation = secret.Annotations, secret.Labels, 1
		secret.ObjectMeta, secret.Immutable = whole, &yes
		secret.Annotations["more"], secret.Labels["more"], secret.Data["more"] = "x", "x", []byte("x")
		stripped, err := stripSecret(secret)
		if err != nil {
			t.Fatal(err)
		}
		kept, ok := stripped.(*corev1.Secret)
		if !ok {
			t.Fatalf("it is kept as %T", stripped)
		}
		bare := kept.ObjectMeta
		bare.Annotations, bare.Labels = nil, nil
		if !reflect.DeepEqual(bare, identity) || kept.Type != secretType || kept.Immutable == nil {
			t.Errorf("%s: it is kept as %+v", s, kept)
		}
		if got, ok := recordOf(kept); !ok || got != want {
			t.Errorf("%s: it says %+v, want %+v", s, got, want)
		}
		if _, known := labelsByState[s]; known != (kept.Labels[stateLabel] == string(s)) {
			t.Errorf("%s: its labels are %v", s, kept.Labels)
		}
		if kept.Annotations["more"] != "" || kept.Labels["more"] != "" || !reflect.DeepEqual(kept.Data, map[string][]byte{tenancy.TokenKey: []byte("token")}) {
			t.Errorf("%s: too much is kept: %v, %v", s, kept.Annotations, kept.Labels)
		}
	}
}
