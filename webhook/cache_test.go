package webhook

import (
	"os"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// What the caches keep must be what the rules read: the verdicts are the same.
func TestRulesSeeTheSameInStrippedObjects(t *testing.T) {
	l := world(t)
	stripped := func(objects ...client.Object) []client.Object {
		var all []client.Object
		for _, o := range objects {
			kept, err := l.strip(o)
			if err != nil {
				t.Fatal(err)
			}
			// The cache hands out copies.
			all = append(all, kept.(runtime.Object).DeepCopyObject().(client.Object))
		}
		return all
	}
	ledger := map[string]string{"disk": "ledger"}
	theirs := keptVolume("v", "b", "ledger", func(pv *corev1.PersistentVolume) { pv.Labels = ledger })
	reborn := keptVolume("w", "a", "own", func(pv *corev1.PersistentVolume) { pv.Annotations[tenancy.OriginUID] = string(claimUID) })
	claimName := "own"
	snap := snapshotOf("snap", "")
	snap.Spec.Source.PersistentVolumeClaimName = &claimName
	bound := snapshotOf("bound", "")
	name := "c"
	bound.Status = &snapshotv1.VolumeSnapshotStatus{BoundVolumeSnapshotContentName: &name}
	listing := &storagev1.StorageClass{
		ObjectMeta:  metav1.ObjectMeta{Name: "listing", Annotations: map[string]string{TunableKeys: "repl"}},
		Provisioner: tenancy.CSIDriver, Parameters: map[string]string{"x": "y"},
	}
	reaching := &storagev1.VolumeAttributesClass{ObjectMeta: metav1.ObjectMeta{Name: "reaching"}, DriverName: tenancy.CSIDriver, Parameters: map[string]string{"export": "true"}}
	full := []client.Object{theirs, reborn, keptVolume("x", "b", "y", inTree), called("own", "w"), snap, bound, kept("c", "b"), listing, reaching}
	whole, thin := world(t, full...), world(t, stripped(full...)...)
	for _, l := range []*lookup{whole, thin} {
		l.policy.tunable = TunableClass
	}
	vac := "reaching"
	for _, object := range []*corev1.PersistentVolumeClaim{
		claim(naming("v")), claim(naming("w")), claim(naming("x")), claim(all(inClass("", nil), selecting(ledger))),
		claim(sourced("", "PersistentVolumeClaim", "own")), claim(sourced("snapshot.storage.k8s.io", "VolumeSnapshot", "snap")),
		claim(sourced("snapshot.storage.k8s.io", "VolumeSnapshot", "bound")),
		claim(inClass("listing", annotate("repl", "3"))), claim(inClass("listing", annotate("fs", "xfs"))),
		claim(func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeAttributesClassName = &vac }),
	} {
		want := denied(t, whole, claims, request(t, object, nil, "dev"))
		if got := denied(t, thin, claims, request(t, object, nil, "dev")); got != want {
			t.Errorf("%+v: denied by %q from the cache, want %q", object.Spec, got, want)
		}
	}
	labelled := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "x", UID: testUID, Labels: map[string]string{tenancy.TenantLabel: "c", "more": "y"}}}
	if got := stripped(labelled)[0]; tenancy.Of(got.GetName(), string(got.GetUID()), got.GetLabels()).Label != "c" || len(got.GetLabels()) != 1 {
		t.Errorf("a namespace is kept as %+v", got)
	}
	foreign := keptVolume("z", "b", "y", func(pv *corev1.PersistentVolume) { pv.Spec.CSI.Driver = "x" })
	if got := stripped(foreign)[0].(*corev1.PersistentVolume); got.Spec.CSI != nil || got.Spec.ClaimRef != nil || got.Labels != nil {
		t.Errorf("another driver's volume is kept as %+v", got)
	}
}

// The chart cannot read Go: names that it repeats must be those of here.
func TestTheChartSendsWhatTheRulesJudge(t *testing.T) {
	text, err := os.ReadFile("../charts/bulkhead/templates/webhook/_match.tpl")
	if err != nil {
		t.Fatal(err)
	}
	// Keys of claims come from the generated data.
	data, err := os.ReadFile("../charts/bulkhead/files/firstlayer.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	want = append(want, tenancy.KnownNames()...)
	want = append(want, originKeys()...)
	want = append(want, keysOf(world(t).layout.VolumeAnnotations("a"))...)
	want = append(want, keysOf(world(t).layout.ContentAnnotations("a"))...)
	want = append(want, keysOf(world(t).layout.GroupContentAnnotations("a"))...)
	want = append(want, keysOf(world(t).layout.ClaimAnnotations("a"))...)
	want = append(want, storkSnapshotSource...)
	want = append(want, storkRestoreInto...)
	want = append(want, allowModeChange, tenancy.BetaStorageClass)
	for _, name := range want {
		if !strings.Contains(string(text), `"`+name+`"`) && !strings.Contains(string(data), " "+name+"\n") {
			t.Errorf("the match conditions do not name %s", name)
		}
	}
	for kind := range reviewers {
		if !strings.Contains(string(text), strings.ToLower(kind.Kind)) {
			t.Errorf("no webhook is called for %s", kind)
		}
	}
}
