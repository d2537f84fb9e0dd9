package attacks

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/actors"
)

// asInTree makes a static PV an in-tree one.
func asInTree(pv *corev1.PersistentVolume) *corev1.PersistentVolume {
	handle := pv.Spec.CSI.VolumeHandle
	pv.Spec.CSI = nil
	pv.Spec.PortworxVolume = &corev1.PortworxVolumeSource{VolumeID: handle, FSType: "ext4"}
	return pv
}

func TestC1_StaticVolumeOfAnotherTenant(t *testing.T) {
	owner, handle := victim(t)
	volume, err := owner.Volume(t.Context(), "ledger")
	if err != nil {
		t.Fatal(err)
	}
	for name, thief := range thieves(t) {
		t.Run(name, func(t *testing.T) {
			for how, handle := range map[string]string{"by id": handle, "by name (CVE-2024-1725)": volume.Name, "by a guess": "no-such-volume"} {
				t.Run(how, func(t *testing.T) {
					pv := actors.StaticVolume("stolen", handle, thief.Namespace.Name, "stolen")
					wantDenied(t, thief.Admin.Create(t.Context(), pv), "BH-C1")
				})
			}
		})
	}
}

func TestC1_VolumeThatNamesNoClaim(t *testing.T) {
	_, handle := victim(t)
	pv := actors.StaticVolume("stolen", handle, "", "")
	pv.Spec.ClaimRef = nil
	wantDenied(t, stage.Admins[0].Create(t.Context(), pv), "BH-C1")
}

func TestC2_InTreeVolumeOfAnotherTenant(t *testing.T) {
	_, handle := victim(t)
	for name, thief := range thieves(t) {
		t.Run(name, func(t *testing.T) {
			pv := asInTree(actors.StaticVolume("stolen", handle, thief.Namespace.Name, "stolen"))
			wantDenied(t, thief.Admin.Create(t.Context(), pv), "BH-C1")
			pv = asInTree(actors.StaticVolume("stolen", handle, thief.Namespace.Name, "stolen"))
			pv.Annotations = map[string]string{
				tenancy.AuthSecretName: thief.Admin.Layout.TokenSecret(thief.Namespace.Name).Name, tenancy.AuthSecretNamespace: "bulkhead-tokens",
			}
			wantDenied(t, thief.Admin.Create(t.Context(), pv), "BH-C1")
		})
	}
}

// An operator may bring a tenant's own volume back under another name, as csi
// or in-tree: it comes out as a csi volume with the tenant's references.
func TestC1_TheTenantsOwnVolumeIsAdmitted(t *testing.T) {
	owner, handle := victim(t)
	for name, pv := range map[string]*corev1.PersistentVolume{
		"csi":     actors.StaticVolume(owner.Namespace.Name+"-csi", handle, owner.Namespace.Name, "again"),
		"in-tree": asInTree(actors.StaticVolume(owner.Namespace.Name+"-intree", handle, owner.Namespace.Name, "again")),
	} {
		t.Run(name, func(t *testing.T) {
			if err := owner.Admin.Create(t.Context(), pv); err != nil {
				t.Fatal(err)
			}
			want := owner.Admin.Layout.TokenSecret(owner.Namespace.Name)
			source := pv.Spec.CSI
			if source == nil || source.VolumeHandle != handle || source.NodePublishSecretRef == nil ||
				source.NodePublishSecretRef.Name != want.Name || source.NodePublishSecretRef.Namespace != want.Namespace {
				t.Errorf("the source is %+v", source)
			}
			if pv.Annotations[tenancy.DeletionSecretName] != want.Name {
				t.Errorf("annotations are %v", pv.Annotations)
			}
		})
	}
}

// What admission does not see, the token stops.
func TestT_TheStorageClusterRefusesTheThiefsOwnToken(t *testing.T) {
	owner, handle := victim(t)
	for name, thief := range thieves(t) {
		t.Run(name, func(t *testing.T) {
			if _, err := thief.MakeBound(t.Context(), thief.Claim("own", actors.CSIClass)); err != nil {
				t.Fatal(err)
			}
			token, err := thief.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			bearer, err := actors.NewBearer(stage.Env.Storage, token)
			if err != nil {
				t.Fatal(err)
			}
			if err := bearer.Accepted(t.Context()); err != nil {
				t.Fatalf("the thief's token is no good, so its refusal would show nothing: %v", err)
			}
			ctx := t.Context()
			wantRefused(t, "inspect", bearer.Inspect(ctx, handle))
			wantRefused(t, "clone", bearer.Clone(ctx, handle, "stolen"))
			wantRefused(t, "clone by the driver", thief.CloneByDriver(ctx, token, "own", handle))
			wantRefused(t, "snapshot", bearer.Snapshot(ctx, handle, "stolen"))
			wantRefused(t, "attach", bearer.Attach(ctx, handle))
			wantRefused(t, "delete", bearer.Delete(ctx, handle))
			wantRefused(t, "create a role", bearer.CreateRole(ctx))
			wantRefused(t, "read settings", bearer.ReadClusterSettings(ctx))
			wantRefused(t, "read the pairing token", bearer.ReadPairToken(ctx))
		})
	}
	volume, found, err := stage.Storage.Volume(t.Context(), handle)
	if err != nil || !found || volume.Owner != owner.Subject() {
		t.Errorf("afterwards the volume is %+v, found %v, %v", volume, found, err)
	}
}

func TestC6_ClassThatNamesAnotherSecret(t *testing.T) {
	for name, parameters := range map[string]map[string]string{
		"a literal Secret":         {tenancy.CSISecretName: "bulkhead-bank", tenancy.CSISecretNamespace: "bulkhead-tokens"},
		"a template of the tenant": {tenancy.CSISecretName: "${pvc.annotations['x']}", tenancy.CSISecretNamespace: "bulkhead-tokens"},
		"a Secret for one call":    {"csi.storage.k8s.io/provisioner-secret-name": "x", "csi.storage.k8s.io/provisioner-secret-namespace": "y"},
		"in-tree in another case":  {"OPENSTORAGE.IO/auth-secret-name": "x", "OPENSTORAGE.IO/auth-secret-namespace": "y"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, provisioner := range []string{tenancy.CSIDriver, tenancy.InTreePlugin} {
				class := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "evil"}, Provisioner: provisioner, Parameters: parameters}
				wantDenied(t, stage.Admins[0].Create(t.Context(), class), "BH-C6")
			}
		})
	}
}
