package lifecycle

import (
	"maps"
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1apply "k8s.io/client-go/applyconfigurations/core/v1"
	storagev1apply "k8s.io/client-go/applyconfigurations/storage/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/actors"
)

// The owner of a manifest applies it again and again, with the parameters that
// it always had: nothing fails and nothing flaps.
func TestAClassIsAppliedTwice(t *testing.T) {
	classes := stage.Admins[0].Compute.Client.StorageV1().StorageClasses()
	for _, provisioner := range []string{tenancy.CSIDriver, tenancy.InTreePlugin} {
		t.Run(provisioner, func(t *testing.T) {
			apply := storagev1apply.StorageClass("applied-" + string(provisioner[0])).
				WithProvisioner(provisioner).WithParameters(map[string]string{"repl": "2"})
			options := metav1.ApplyOptions{FieldManager: "gitops"}
			first, err := classes.Apply(t.Context(), apply, options)
			if err != nil {
				t.Fatal(err)
			}
			if first.Parameters[tenancy.AuthSecretName] == "" || first.Parameters["repl"] != "2" {
				t.Fatalf("parameters are %v", first.Parameters)
			}
			second, err := classes.Apply(t.Context(), apply, options)
			if err != nil {
				t.Fatal(err)
			}
			if first.ResourceVersion != second.ResourceVersion || !maps.Equal(first.Parameters, second.Parameters) {
				t.Errorf("the second apply changed the class: %v", second.Parameters)
			}
			// A client-side apply of the original manifest sends an update
			// without what was injected.
			second.Parameters = map[string]string{"repl": "2"}
			allow := true
			second.AllowVolumeExpansion = &allow
			third, err := classes.Update(t.Context(), second, metav1.UpdateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if !maps.Equal(first.Parameters, third.Parameters) {
				t.Errorf("the update changed the parameters: %v", third.Parameters)
			}
		})
	}
}

func TestAClaimIsAppliedTwice(t *testing.T) {
	team := newTeam(t, "apply-twice")
	claims := team.Admin.Compute.Client.CoreV1().PersistentVolumeClaims(team.Namespace.Name)
	apply := corev1apply.PersistentVolumeClaim("claim", team.Namespace.Name).
		WithAnnotations(map[string]string{"team": "x"}).
		WithSpec(corev1apply.PersistentVolumeClaimSpec().WithStorageClassName(actors.CSIClass).
			WithAccessModes(corev1.ReadWriteOnce).
			WithResources(corev1apply.VolumeResourceRequirements().WithRequests(team.Claim("x", "").Spec.Resources.Requests)))
	options := metav1.ApplyOptions{FieldManager: "gitops"}
	if _, err := claims.Apply(t.Context(), apply, options); err != nil {
		t.Fatal(err)
	}
	if _, err := team.WaitBound(t.Context(), "claim"); err != nil {
		t.Fatal(err)
	}
	before, err := claims.Get(t.Context(), "claim", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	after, err := claims.Apply(t.Context(), apply, options)
	if err != nil {
		t.Fatal(err)
	}
	// Its status is Kubernetes' own, and may change at any time.
	if !maps.Equal(before.Annotations, after.Annotations) || !maps.Equal(before.Labels, after.Labels) || !reflect.DeepEqual(before.Spec, after.Spec) {
		t.Errorf("the second apply changed the claim from %+v to %+v", before, after)
	}
	want := team.Admin.Layout.TokenSecret(team.Namespace.Name)
	if after.Annotations[tenancy.AuthSecretName] != want.Name || after.Annotations[tenancy.AuthSecretNamespace] != want.Namespace {
		t.Errorf("annotations are %v", after.Annotations)
	}
}

// Every way by which a class makes a volume leaves a PV with all references.
func TestProvisionedVolumesCarryEveryReference(t *testing.T) {
	team := newTeam(t, "references")
	claims := []*corev1.PersistentVolumeClaim{
		team.Claim("csi", actors.CSIClass),
		team.Claim("in-tree", actors.InTreeClass),
		team.Claim("old-annotation", actors.InTreeClass, actors.ByOldAnnotation),
	}
	if _, err := team.MakeBound(t.Context(), claims...); err != nil {
		t.Fatal(err)
	}
	want := team.Admin.Layout.TokenSecret(team.Namespace.Name)
	for _, claim := range claims {
		t.Run(claim.Name, func(t *testing.T) {
			pv, err := team.Volume(t.Context(), claim.Name)
			if err != nil {
				t.Fatal(err)
			}
			if pv.Spec.CSI == nil {
				t.Fatalf("the source is %+v", pv.Spec.PersistentVolumeSource)
			}
			for field, ref := range map[string]*corev1.SecretReference{
				"controllerExpand": pv.Spec.CSI.ControllerExpandSecretRef, "controllerPublish": pv.Spec.CSI.ControllerPublishSecretRef,
				"nodeExpand": pv.Spec.CSI.NodeExpandSecretRef, "nodePublish": pv.Spec.CSI.NodePublishSecretRef,
				"nodeStage": pv.Spec.CSI.NodeStageSecretRef,
			} {
				if ref == nil || ref.Name != want.Name || ref.Namespace != want.Namespace {
					t.Errorf("%sSecretRef is %v, want %v", field, ref, want)
				}
			}
			for key, value := range map[string]string{
				tenancy.DeletionSecretName: want.Name, tenancy.DeletionSecretNamespace: want.Namespace,
				tenancy.ModifySecretName: want.Name, tenancy.ModifySecretNamespace: want.Namespace,
				tenancy.ProvisionedBy: tenancy.CSIDriver,
			} {
				if pv.Annotations[key] != value {
					t.Errorf("annotation %s is %q, want %q", key, pv.Annotations[key], value)
				}
			}
			handle := pv.Spec.CSI.VolumeHandle
			if err := team.Delete(t.Context(), claim); err != nil {
				t.Fatal(err)
			}
			waitForVolume(t, handle, false)
		})
	}
}

func TestASnapshotIsMadeRestoredAndDeletedWithTheTeamsToken(t *testing.T) {
	team := newTeam(t, "snapshots")
	if _, err := team.MakeBound(t.Context(), team.Claim("data", actors.CSIClass)); err != nil {
		t.Fatal(err)
	}
	if err := team.Snapshot(t.Context(), "snap", actors.SnapshotClass, "data"); err != nil {
		t.Fatal(err)
	}
	handles, err := team.MakeBound(t.Context(), team.Claim("restored", actors.CSIClass, actors.RestoredFrom("snap")))
	if err != nil {
		t.Fatal(err)
	}
	if v, _, err := stage.Storage.Volume(t.Context(), handles[0]); err != nil || v.Owner != team.Subject() {
		t.Errorf("the restored volume is owned by %q, %v", v.Owner, err)
	}
	snapshots, err := team.Admin.SnapshotContents(t.Context(), team.Namespace.Name)
	if err != nil || len(snapshots) != 1 {
		t.Fatalf("%d contents, %v", len(snapshots), err)
	}
	if got, want := snapshots[0].Annotations[tenancy.SnapshotDeletionSecretName], team.Admin.Layout.TokenSecret(team.Namespace.Name).Name; got != want {
		t.Errorf("the content is deleted with %q, want %q", got, want)
	}
	handle := *snapshots[0].Status.SnapshotHandle
	if err := team.DeleteSnapshot(t.Context(), "snap"); err != nil {
		t.Fatal(err)
	}
	waitForVolume(t, handle, false)
}

// An update that touches none of what the rules read goes through, also for
// what was there before the install.
func TestFinalizersAndLabelsOfControllersGoThrough(t *testing.T) {
	team := newTeam(t, "ratchet")
	if _, err := team.MakeBound(t.Context(), team.Claim("claim", actors.CSIClass)); err != nil {
		t.Fatal(err)
	}
	var claim corev1.PersistentVolumeClaim
	if err := team.Get(t.Context(), types.NamespacedName{Namespace: team.Namespace.Name, Name: "claim"}, &claim); err != nil {
		t.Fatal(err)
	}
	patch := client.MergeFrom(claim.DeepCopy())
	claim.Finalizers = append(claim.Finalizers, "example.com/hold")
	metav1.SetMetaDataLabel(&claim.ObjectMeta, "app", "x")
	if err := team.Patch(t.Context(), &claim, patch); err != nil {
		t.Fatal(err)
	}
	if err := team.Delete(t.Context(), &claim); err != nil {
		t.Fatal(err)
	}
	patch = client.MergeFrom(claim.DeepCopy())
	claim.Finalizers = nil
	if err := team.Patch(t.Context(), &claim, patch); err != nil {
		t.Fatalf("a claim that is being deleted cannot lose its finalizers: %v", err)
	}
}
