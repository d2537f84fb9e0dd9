package attacks

import (
	"context"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1apply "k8s.io/client-go/applyconfigurations/core/v1"
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

func TestA1_CloneInsideTheNamespaceStillWorks(t *testing.T) {
	owner, _ := victim(t)
	if _, err := owner.MakeBound(t.Context(), owner.Claim("copy", actors.CSIClass, actors.CloneOf("", "ledger"))); err != nil {
		t.Fatal(err)
	}
}

func TestA4_ForbiddenKeysOnCreate(t *testing.T) {
	_, handle := victim(t)
	thief := newTeam(t, stage.Admins[0])
	for _, class := range []string{actors.CSIClass, actors.InTreeClass} {
		t.Run(class, func(t *testing.T) {
			for key, value := range map[string]string{
				"parent": handle, "secret_name": "x", "proxy_nfs_subpath": "../..", "namespace": "bank",
				"csi.openstorage.org/snapshot-type": "cloud", "px/secret-name": "x",
			} {
				wantDenied(t, thief.Create(t.Context(), thief.Claim("stolen", class, actors.Annotated(key, value))), "BH-A4")
			}
			wantDenied(t, thief.Create(t.Context(), thief.Claim("stolen", class, func(c *corev1.PersistentVolumeClaim) {
				c.Labels = map[string]string{"parent": handle}
			})), "BH-A4")
			wantDenied(t, thief.Create(t.Context(), thief.Claim("stolen", class, actors.ByOldAnnotation, actors.Annotated("parent", handle))), "BH-A4")
		})
	}
}

func TestA4_ServerSideApply(t *testing.T) {
	_, handle := victim(t)
	thief := newTeam(t, stage.Admins[0])
	apply := corev1apply.PersistentVolumeClaim("stolen", thief.Namespace.Name).
		WithAnnotations(map[string]string{"parent": handle}).
		WithSpec(corev1apply.PersistentVolumeClaimSpec().WithStorageClassName(actors.CSIClass).
			WithAccessModes(corev1.ReadWriteOnce).
			WithResources(corev1apply.VolumeResourceRequirements().WithRequests(thief.Claim("x", "").Spec.Resources.Requests)))
	wantDenied(t, thief.Apply(t.Context(), apply, client.FieldOwner("thief")), "BH-A4")
}

// A claim of a class that comes later waits unbound; what it may not have from
// the start, it may not get meanwhile.
func TestA4_AddedBeforeBinding(t *testing.T) {
	_, handle := victim(t)
	thief := newTeam(t, stage.Admins[0])
	claim := thief.Claim("waiting", "class-that-comes-later")
	if err := thief.Create(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	patch := client.MergeFrom(claim.DeepCopy())
	metav1.SetMetaDataAnnotation(&claim.ObjectMeta, "parent", handle)
	wantDenied(t, thief.Patch(t.Context(), claim, patch), "BH-A4")
}

// The API server lets a class be added to a claim that was made without one.
func TestA8_TheClassComesLater(t *testing.T) {
	owner, handle := victim(t)
	thief := newTeam(t, stage.Admins[0])
	for name, c := range map[string]struct {
		change func(*corev1.PersistentVolumeClaim)
		rule   string
	}{
		"a data source of another tenant": {actors.CloneOf(owner.Namespace.Name, "ledger"), "BH-A1"},
		"a forbidden annotation":          {actors.Annotated("parent", handle), "BH-A4"},
	} {
		t.Run(name, func(t *testing.T) {
			claim := thief.Claim("later-"+strings.ToLower(c.rule), "", c.change)
			claim.Spec.StorageClassName = nil
			if err := thief.Create(t.Context(), claim); err != nil {
				t.Fatal(err)
			}
			patch := client.MergeFrom(claim.DeepCopy())
			class := actors.CSIClass
			claim.Spec.StorageClassName = &class
			wantDenied(t, thief.Patch(t.Context(), claim, patch), c.rule)
		})
	}
}

func TestA5_WhateverTheClass(t *testing.T) {
	owner, _ := victim(t)
	thief := newTeam(t, stage.Admins[0])
	foreign := thief.Admin.Layout.TokenSecret(owner.Namespace.Name).Name
	if _, err := thief.Admin.MakeClass(t.Context(), "of-another-driver", "ebs.csi.aws.com"); err != nil {
		t.Fatal(err)
	}
	for _, class := range []string{"", "of-another-driver"} {
		wantDenied(t, thief.Create(t.Context(), thief.Claim("claim", class, actors.Annotated(tenancy.AuthSecretName, foreign))), "BH-A5")
	}
	// A claim that gets its class later is given the right ones then.
	claim := thief.Claim("later", "")
	claim.Spec.StorageClassName = nil
	if err := thief.Create(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	patch := client.MergeFrom(claim.DeepCopy())
	class := actors.CSIClass
	claim.Spec.StorageClassName = &class
	if err := thief.Patch(t.Context(), claim, patch); err != nil {
		t.Fatal(err)
	}
	if got, want := claim.Annotations[tenancy.AuthSecretName], thief.Admin.Layout.TokenSecret(thief.Namespace.Name).Name; got != want {
		t.Errorf("the annotation is %q, want %q", got, want)
	}
}

// The claim is made by a controller, with the controller's rights.
func TestA4_ThroughAStatefulSet(t *testing.T) {
	_, handle := victim(t)
	thief := newTeam(t, stage.Admins[0])
	labels := map[string]string{"app": "thief"}
	set := &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: "thief", Namespace: thief.Namespace.Name},
		Spec: appsv1.StatefulSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "none"}}},
			},
			VolumeClaimTemplates: []corev1.PersistentVolumeClaim{*thief.Claim("data", actors.CSIClass, actors.Annotated("parent", handle))},
		},
	}
	if err := thief.Create(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	err := actors.Eventually(t.Context(), func(ctx context.Context) (bool, error) {
		var events corev1.EventList
		if err := thief.List(ctx, &events, client.InNamespace(thief.Namespace.Name)); err != nil {
			return false, err
		}
		for _, e := range events.Items {
			if strings.Contains(e.Message, "BH-A4:") {
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil {
		t.Fatalf("no event tells of the denial: %v", err)
	}
	var claims corev1.PersistentVolumeClaimList
	if err := thief.List(t.Context(), &claims, client.InNamespace(thief.Namespace.Name)); err != nil || len(claims.Items) != 0 {
		t.Errorf("%d claims were made, %v", len(claims.Items), err)
	}
}

func TestA4_WhatTeamsTuneStillWorks(t *testing.T) {
	team := newTeam(t, stage.Admins[0])
	if _, err := team.MakeBound(t.Context(), team.Claim("tuned", actors.CSIClass, actors.Annotated("io_profile", "db"))); err != nil {
		t.Fatal(err)
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
