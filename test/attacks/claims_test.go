package attacks

import (
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/actors"
)

func TestA1_CloneAcrossNamespaces(t *testing.T) {
	owner, _ := victim(t)
	for name, thief := range thieves(t) {
		t.Run(name, func(t *testing.T) {
			wantDenied(t, thief.Create(t.Context(), thief.Claim("stolen", actors.CSIClass,
				actors.CloneOf(owner.Namespace.Name, "ledger"))), "BH-A1")
			wantDenied(t, thief.Create(t.Context(), thief.Claim("stolen", actors.InTreeClass,
				actors.CloneOf(owner.Namespace.Name, "ledger"))), "BH-A1")
		})
	}
}

func TestA5_TokenOfAnotherNamespace(t *testing.T) {
	owner, _ := victim(t)
	thief := newTeam(t, stage.Admins[0])
	foreign := thief.Admin.Layout.TokenSecret(owner.Namespace.Name).Name
	claim := thief.Claim("claim", actors.CSIClass, actors.Annotated(tenancy.AuthSecretName, foreign))
	handles, err := thief.MakeBound(t.Context(), claim)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := claim.Annotations[tenancy.AuthSecretName], thief.Admin.Layout.TokenSecret(thief.Namespace.Name).Name; got != want {
		t.Errorf("the annotation is %q, want %q", got, want)
	}
	volume, _, err := stage.Storage.Volume(t.Context(), handles[0])
	if err != nil || volume.Owner != thief.Subject() {
		t.Errorf("the volume is owned by %q, %v; want %q", volume.Owner, err, thief.Subject())
	}
	if err := thief.Get(t.Context(), client.ObjectKeyFromObject(claim), claim); err != nil {
		t.Fatal(err)
	}
	patch := client.MergeFrom(claim.DeepCopy())
	claim.Annotations[tenancy.AuthSecretName] = foreign
	wantDenied(t, thief.Patch(t.Context(), claim, patch), "BH-A5")
}
