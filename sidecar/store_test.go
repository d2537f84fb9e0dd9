package sidecar

import (
	"encoding/json"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// An API server takes an apply with a version alone, on a Secret that is not
// there any more, for a creation. The uid makes it a conflict.
func TestAWriteIsFencedByVersionAndUID(t *testing.T) {
	client := fake.NewClientset()
	var sent metav1.PartialObjectMetadata
	client.PrependReactor("patch", "secrets", func(action clienttesting.Action) (bool, runtime.Object, error) {
		patch, _ := action.(clienttesting.PatchAction)
		return true, &corev1.Secret{}, json.Unmarshal(patch.GetPatch(), &sent)
	})
	s := slot{ref: tenancy.SecretRef{Namespace: "tokens", Name: "px-a"}, state: live, tenant: tenancy.Tenant{Namespace: "a", UID: uidNew}}
	want := s.secret(record{tenant: s.tenant}, "token")
	old := want.DeepCopy()
	old.ResourceVersion, old.UID = "7", "uid-of-the-secret"
	store := &apiStore{client: client, tokenNamespace: "tokens"}
	if err := store.put(t.Context(), old, want); err != nil {
		t.Fatal(err)
	}
	if sent.ResourceVersion != "7" || sent.UID != "uid-of-the-secret" {
		t.Errorf("fenced by version %q and uid %q", sent.ResourceVersion, sent.UID)
	}
	if err := store.put(t.Context(), nil, want); err != nil {
		t.Fatal(err)
	}
	if err := store.put(t.Context(), nil, want); !contested(err) {
		t.Errorf("a Secret that is there was created again: %v", err)
	}
}

func TestASecretThatCannotBeChangedIsMadeAnew(t *testing.T) {
	immutable := true
	for name, change := range map[string]func(*corev1.Secret){
		"of another type": func(s *corev1.Secret) { s.Type = corev1.SecretTypeOpaque },
		"immutable":       func(s *corev1.Secret) { s.Immutable = &immutable },
	} {
		t.Run(name, func(t *testing.T) {
			s := slot{ref: tenancy.SecretRef{Namespace: "a", Name: "token"}, state: live, tenant: tenancy.Tenant{Namespace: "a", UID: uidNew}}
			want := s.secret(record{tenant: s.tenant}, "token")
			old := want.DeepCopy()
			old.Data = nil
			change(old)
			client := fake.NewClientset(old)
			store := &apiStore{client: client, tokenNamespace: "tokens"}
			if err := store.put(t.Context(), old, want); err != nil {
				t.Fatal(err)
			}
			got, err := client.CoreV1().Secrets("a").Get(t.Context(), "token", metav1.GetOptions{})
			if err != nil || got.Type != secretType || string(got.Data[tenancy.TokenKey]) != "token" {
				t.Errorf("%v, %+v", err, got)
			}
		})
	}
}
