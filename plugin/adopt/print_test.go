package adopt

import (
	"context"
	"io"
	"testing"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	"github.com/libopenstorage/openstorage/api"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/plugin/output"
	"github.com/bulkhead-dev/bulkhead/plugin/output/outputtest"
	"github.com/bulkhead-dev/bulkhead/storage"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

const hostileText = "evil\x1b[2J\u202ename\nChange these 0? [y/N] y"

// sharedBy is what names the shared token of the first deployments, by some keys.
func sharedBy(keys ...string) map[string]string {
	all := map[string]string{"note": hostileText}
	for _, key := range keys {
		all[key+"-name"], all[key+"-namespace"] = "px-user-token", "kube-system"
	}
	return all
}

// TestWhatIsShown is what each kind shows that is changed where it is, and how a
// volume changes hands.
func TestWhatIsShown(t *testing.T) {
	class := &snapshotv1.VolumeSnapshotClass{
		ObjectMeta: metav1.ObjectMeta{Name: "px-snapshot"}, Driver: tenancy.CSIDriver,
		DeletionPolicy: snapshotv1.VolumeSnapshotContentDelete, Parameters: sharedBy("csi.storage.k8s.io/snapshotter-secret"),
	}
	content := &snapshotv1.VolumeSnapshotContent{
		ObjectMeta: metav1.ObjectMeta{Name: "snapcontent-1", Annotations: sharedBy("snapshot.storage.kubernetes.io/deletion-secret")},
		Spec: snapshotv1.VolumeSnapshotContentSpec{
			Driver: tenancy.CSIDriver, DeletionPolicy: snapshotv1.VolumeSnapshotContentDelete,
			VolumeSnapshotRef: corev1.ObjectReference{Namespace: "shop", Name: "nightly"},
		},
	}
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: "data", Annotations: sharedBy("openstorage.io/auth-secret"),
	}}
	other := claim.DeepCopy()
	other.Name, other.Annotations = "new", nil
	for file, run := range map[string]func(*Adopter, context.Context) error{
		"snapshotclass.txt":   func(a *Adopter, ctx context.Context) error { return a.SnapshotClasses(ctx, Selection{All: true}) },
		"snapshotcontent.txt": func(a *Adopter, ctx context.Context) error { return a.Contents(ctx, Selection{All: true}) },
		"claim.txt":           func(a *Adopter, ctx context.Context) error { return a.Claims(ctx, Selection{All: true}) },
		"nothing.txt":         func(a *Adopter, ctx context.Context) error { return a.Volumes(ctx, Selection{All: true}) },
		"volume.txt": func(a *Adopter, ctx context.Context) error {
			v := &storage.Volume{
				ID: "1077", Name: hostileText, Namespace: "bank", Claim: hostileText,
				Ownership: &api.Ownership{Owner: sharedSubject, Acls: &api.Ownership_AccessControl{
					Collaborators: map[string]api.Ownership_AccessType{"auditor@example.com": api.Ownership_Read},
				}},
			}
			uses := []*use{{namespace: "shop", volumes: []*corev1.PersistentVolume{{ObjectMeta: metav1.ObjectMeta{Name: "pvc-1"}}}}}
			var p plan
			p.add(a.ownership(ctx, Storage{}, Ownership{FromSubjects: []string{sharedSubject}}, v, uses, true))
			return a.carryOut(ctx, p)
		},
	} {
		a := adopterOf(class, content, claim, other)
		outputtest.Golden(t, file, output.Table, nil, func(w io.Writer) error {
			a.cfg.Out = w
			return run(a, t.Context())
		})
		var is snapshotv1.VolumeSnapshotClass
		if err := a.client.Get(t.Context(), client.ObjectKeyFromObject(class), &is); err != nil || is.ResourceVersion != "999" {
			t.Errorf("%s: a dry run changed it: %+v (%v)", file, is, err)
		}
	}
}
