package webhook

import (
	"slices"
	"testing"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// A namespace that was made again is another tenant, whatever its name: a volume
// that its namesake left is not to be had by it.

// left is a volume that a namespace which is no more has left behind.
func left(claimUID types.UID, annotations map[string]string) *corev1.PersistentVolume {
	return volume("bank", "vol-of-old-bank", func(pv *corev1.PersistentVolume) {
		pv.Annotations, pv.Spec.ClaimRef.UID = annotations, claimUID
	})
}

func namesake() *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "bank", UID: uidOf("the next bank")}}
}

func wantRules(t *testing.T, l *lookup, r reviewer, object, old client.Object, want ...string) {
	t.Helper()
	if got := judged(t, l, r, injectedRequest(t, l, r, object, old, "operator")); !slices.Equal(got, want) {
		t.Errorf("refused by %v, want %v", got, want)
	}
}

func TestC4_AVolumeWithoutOriginWhoseUIDWasCleared(t *testing.T) {
	wantRules(t, world(t, namesake()), volumes, left("2", nil), left("", nil), "BH-C4")
}

func TestC4_TheCacheStillKnowsTheNamespaceThatIsGone(t *testing.T) {
	origin := tenancy.Tenant{Namespace: "bank", UID: string(uidOf("bank"))}.Origin()
	l := world(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "bank", UID: uidOf("bank")}})
	l.live = world(t, namesake()).live
	wantRules(t, l, volumes, left("2", origin), left("", origin), "BH-C4")
}

func TestC3_TheOriginIsNotToldOfWhatIsAnothers(t *testing.T) {
	told := tenancy.Tenant{Namespace: "bank", UID: string(uidOf("the next bank"))}.Origin()
	wantRules(t, world(t, namesake()), volumes, left("1", told), left("1", nil), "BH-C3")
	own := tenancy.Tenant{Namespace: "a", UID: string(uidOf("a"))}.Origin()
	mine := func(annotations map[string]string) *corev1.PersistentVolume {
		return volume("a", "vol-a", func(pv *corev1.PersistentVolume) { pv.Annotations = annotations })
	}
	wantRules(t, world(t), volumes, mine(own), mine(nil))
}

func TestB3_TheOriginIsNotToldOfWhatIsAnothers(t *testing.T) {
	told := func(namespace string) (is, was *snapshotv1.VolumeSnapshotContent) {
		return content(namespace, tenancy.Tenant{Namespace: namespace, UID: string(uidOf(namespace))}.Origin(), nil), content(namespace, nil, nil)
	}
	is, was := told("b")
	wantRules(t, world(t), contents, is, was, "BH-B3")
	is, was = told("a")
	wantRules(t, world(t), contents, is, was)
}

func TestC3_AVolumeOfNobodyNamesNoSecret(t *testing.T) {
	l := world(t)
	l.policy.modes = map[string]Mode{"BH-C1": Off, "BH-C4": Off}
	naming := func(ref *corev1.SecretReference) *corev1.PersistentVolume {
		return volume("", "x", func(pv *corev1.PersistentVolume) {
			pv.Spec.ClaimRef, pv.Spec.CSI.ControllerExpandSecretRef = nil, ref
		})
	}
	theirs := &corev1.SecretReference{Namespace: "tokens", Name: "px-b"}
	wantRules(t, l, volumes, naming(theirs), nil, "BH-C3")
	wantRules(t, l, volumes, naming(theirs), naming(nil), "BH-C3")
	wantRules(t, l, volumes, naming(nil), nil)
}

func TestE3_AnExemptNamespaceDoesNotLieInItself(t *testing.T) {
	l := world(t)
	l.policy.namespaces = map[string]bool{"a": true}
	joined := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "a", Labels: map[string]string{tenancy.TenantLabel: "c"}}}
	req := request(t, joined, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, "dev")
	req.Namespace = "a" // as the API server sends it
	req.Kind = metav1.GroupVersionKind{Version: "v1", Kind: "Namespace"}
	if got := judged(t, l, namespaces, req); !slices.Equal(got, []string{"BH-E3"}) {
		t.Errorf("refused by %v", got)
	}
}

// Claims that were made while the name was that of another driver's class.
func TestC7_AClassOfOursTakesUpNoClaimsThatItMayNotHave(t *testing.T) {
	waiting := func(change func(*corev1.PersistentVolumeClaim)) *corev1.PersistentVolumeClaim {
		return claim(func(c *corev1.PersistentVolumeClaim) {
			c.Spec.StorageClassName, c.Annotations = new("fast"), map[string]string{}
			if change != nil {
				change(c)
			}
		})
	}
	for name, c := range map[string]struct {
		claim *corev1.PersistentVolumeClaim
		want  []string
	}{
		"a plain one":         {waiting(nil), nil},
		"of another class":    {claim(annotate("parent", "x")), nil},
		"C7 with a key":       {waiting(annotate("parent", "x")), []string{"BH-C7"}},
		"C7 with a token":     {waiting(annotate(tenancy.AuthSecretName, "px-b")), []string{"BH-C7"}},
		"C7 from elsewhere":   {waiting(from("b")), []string{"BH-C7"}},
		"that has its volume": {waiting(func(c *corev1.PersistentVolumeClaim) { annotate("parent", "x")(c); c.Spec.VolumeName = "v" }), nil},
		"C7 by the old way too": {waiting(func(c *corev1.PersistentVolumeClaim) {
			annotate("parent", "x")(c)
			annotate(tenancy.BetaStorageClass, "fast")(c)
		}), []string{"BH-C7"}},
	} {
		t.Run(name, func(t *testing.T) {
			class := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "fast"}, Provisioner: tenancy.CSIDriver}
			wantRules(t, world(t, c.claim), storageClasses, class, nil, c.want...)
		})
	}
}
