package webhook

import (
	"maps"
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// What is read of a folded object is what was there, and nothing that is not read
// is kept.
func TestAFoldedObjectUnfoldsToWhatIsReadOfIt(t *testing.T) {
	l := world(t)
	class := "ours"
	identity := func(namespace, name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: namespace, Name: name, UID: testUID, ResourceVersion: "7"}
	}
	with := func(m metav1.ObjectMeta, labels, annotations map[string]string) metav1.ObjectMeta {
		m.Labels, m.Annotations = labels, annotations
		return m
	}
	labels := map[string]string{"disk": "ledger"}
	more := func(o client.Object) client.Object {
		o.SetFinalizers([]string{"x"})
		o.SetGenerateName("x")
		return o
	}
	kept := map[string]string{tenancy.BetaStorageClass: "old"}
	maps.Copy(kept, tenancy.Tenant{Namespace: "a", UID: string(testUID)}.Origin())
	annotated := maps.Clone(kept)
	annotated["x"] = "y"
	for name, c := range map[string]struct{ object, want client.Object }{
		"a claim": {
			&corev1.PersistentVolumeClaim{
				ObjectMeta: with(identity("a", "data"), labels, annotated),
				Spec:       corev1.PersistentVolumeClaimSpec{VolumeName: "v", StorageClassName: &class, AccessModes: []corev1.PersistentVolumeAccessMode{"x"}},
			},
			&corev1.PersistentVolumeClaim{
				ObjectMeta: with(identity("a", "data"), nil, map[string]string{tenancy.BetaStorageClass: "old"}),
				Spec:       corev1.PersistentVolumeClaimSpec{VolumeName: "v", StorageClassName: &class},
			},
		},
		"a claim without a class": {
			&corev1.PersistentVolumeClaim{ObjectMeta: identity("a", "data")},
			&corev1.PersistentVolumeClaim{ObjectMeta: identity("a", "data")},
		},
		"a volume": {
			&corev1.PersistentVolume{ObjectMeta: with(identity("", "v"), labels, annotated), Spec: corev1.PersistentVolumeSpec{
				StorageClassName: class, MountOptions: []string{"x"},
				ClaimRef:               &corev1.ObjectReference{APIVersion: "v1", Namespace: "a", Name: "data", UID: claimUID},
				PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: tenancy.CSIDriver, VolumeHandle: "h", FSType: "x"}},
			}},
			&corev1.PersistentVolume{ObjectMeta: with(identity("", "v"), labels, kept), Spec: corev1.PersistentVolumeSpec{
				StorageClassName: class, ClaimRef: &corev1.ObjectReference{Namespace: "a", Name: "data", UID: claimUID},
				PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: tenancy.CSIDriver, VolumeHandle: "h"}},
			}},
		},
		"an in-tree volume that is nobody's": {
			&corev1.PersistentVolume{ObjectMeta: identity("", "v"), Spec: corev1.PersistentVolumeSpec{
				PersistentVolumeSource: corev1.PersistentVolumeSource{PortworxVolume: &corev1.PortworxVolumeSource{VolumeID: "h", FSType: "x"}},
			}},
			&corev1.PersistentVolume{ObjectMeta: identity("", "v"), Spec: corev1.PersistentVolumeSpec{
				PersistentVolumeSource: corev1.PersistentVolumeSource{PortworxVolume: &corev1.PortworxVolumeSource{VolumeID: "h"}},
			}},
		},
		"another driver's volume": {
			&corev1.PersistentVolume{ObjectMeta: with(identity("", "v"), labels, annotated), Spec: corev1.PersistentVolumeSpec{
				StorageClassName: class, PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: "x", VolumeHandle: "h"}},
			}},
			&corev1.PersistentVolume{ObjectMeta: identity("", "v")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			stripped, err := l.strip(more(c.object))
			if err != nil {
				t.Fatal(err)
			}
			if again, err := l.strip(stripped); err != nil || again != stripped {
				t.Errorf("stripped once more it is %v (%v)", again, err)
			}
			object, ok := stripped.(runtime.Object)
			if !ok {
				t.Fatalf("a cache cannot hold a %T", stripped)
			}
			if got := object.DeepCopyObject(); !reflect.DeepEqual(got, runtime.Object(c.want)) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			// What a cache reads of it while it is folded.
			m, err := meta.Accessor(object)
			if err != nil {
				t.Fatal(err)
			}
			if m.GetNamespace() != c.want.GetNamespace() || m.GetName() != c.want.GetName() || m.GetUID() != testUID ||
				m.GetResourceVersion() != "7" || !reflect.DeepEqual(m.GetLabels(), c.want.GetLabels()) {
				t.Errorf("folded it is %+v", object)
			}
		})
	}
}
