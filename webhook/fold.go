package webhook

import (
	"maps"
	"slices"
	"unique"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// Of volumes and claims there may be a hundred thousand, and the types of the API
// are mostly fields that the rules do not read. The cache holds them folded, in a
// quarter of the space. It hands out copies alone, and the copy of a folded object
// is the object (controller-runtime, pkg/cache/internal/cache_reader.go, Get and
// List).

// word is a string that many objects have.
type word = unique.Handle[string]

// folded is the identity of an object, with what its kind has in common.
type folded struct {
	// ObjectMeta is the same empty one for all. What is asked for and not below is
	// what it says.
	*metav1.ObjectMeta

	namespace             word
	name, resourceVersion string
	uid                   types.UID
	annotations           unique.Handle[annotations]
}

var noMeta = &metav1.ObjectMeta{}

func fold(o metav1.Object, kept ...string) folded {
	return folded{
		ObjectMeta: noMeta, namespace: unique.Make(o.GetNamespace()), name: o.GetName(), resourceVersion: o.GetResourceVersion(),
		uid: o.GetUID(), annotations: unique.Make(annotationsOf(o.GetAnnotations(), kept)),
	}
}

// These are what a cache reads of an object that it holds.

func (f *folded) GetNamespace() string             { return f.namespace.Value() }
func (f *folded) GetName() string                  { return f.name }
func (f *folded) GetUID() types.UID                { return f.uid }
func (f *folded) GetResourceVersion() string       { return f.resourceVersion }
func (f *folded) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

func (f *folded) meta() metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: f.namespace.Value(), Name: f.name, UID: f.uid, ResourceVersion: f.resourceVersion, Annotations: f.annotations.Value().unfold(),
	}
}

// keptAnnotations are those that rules read of volumes and claims: the origin, and
// the class in its old place.
var keptAnnotations = [...]string{tenancy.OriginNamespace, tenancy.OriginUID, tenancy.TenantLabel, tenancy.BetaStorageClass}

// annotations are the values of keptAnnotations. All volumes of a namespace have the
// same.
type annotations [len(keptAnnotations)]struct {
	value string
	set   bool
}

func annotationsOf(all map[string]string, kept []string) annotations {
	var a annotations
	for i, key := range keptAnnotations {
		if slices.Contains(kept, key) {
			a[i].value, a[i].set = all[key]
		}
	}
	return a
}

func (a annotations) unfold() map[string]string {
	var all map[string]string
	for i, key := range keptAnnotations {
		if a[i].set {
			if all == nil {
				all = make(map[string]string, len(a))
			}
			all[key] = a[i].value
		}
	}
	return all
}

// foldedClaim is a PersistentVolumeClaim.
type foldedClaim struct {
	folded

	volume   string
	class    word
	hasClass bool
}

func foldClaim(claim *corev1.PersistentVolumeClaim) *foldedClaim {
	f := &foldedClaim{folded: fold(claim, tenancy.BetaStorageClass), volume: claim.Spec.VolumeName}
	if class := claim.Spec.StorageClassName; class != nil {
		f.class, f.hasClass = unique.Make(*class), true
	}
	return f
}

// DeepCopyObject is the claim.
func (f *foldedClaim) DeepCopyObject() runtime.Object {
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: f.meta(), Spec: corev1.PersistentVolumeClaimSpec{VolumeName: f.volume}}
	if f.hasClass {
		class := f.class.Value()
		claim.Spec.StorageClassName = &class
	}
	return claim
}

// foldedVolume is a PersistentVolume; of one of another driver's there is nothing but
// the name.
type foldedVolume struct {
	folded

	ours   bool
	labels map[string]string
	class  word
	// driver is the CSI driver, empty for an in-tree volume.
	driver word
	handle string
	// The claim is what a claimRef names, if there is one.
	hasClaim       bool
	claimNamespace word
	claimName      string
	claimUID       types.UID
}

func foldVolume(pv *corev1.PersistentVolume, ours bool) *foldedVolume {
	if !ours {
		return &foldedVolume{folded: fold(pv)}
	}
	f := &foldedVolume{
		folded: fold(pv, keptAnnotations[:]...), ours: true,
		// What the selector of a claim is matched with.
		labels: pv.Labels, class: unique.Make(pv.Spec.StorageClassName),
	}
	if csi := pv.Spec.CSI; csi != nil {
		f.driver, f.handle = unique.Make(csi.Driver), csi.VolumeHandle
	} else {
		f.driver, f.handle = unique.Make(""), pv.Spec.PortworxVolume.VolumeID
	}
	if claim := pv.Spec.ClaimRef; claim != nil {
		f.hasClaim, f.claimNamespace, f.claimName, f.claimUID = true, unique.Make(claim.Namespace), claim.Name, claim.UID
	}
	return f
}

// GetLabels are those of the volume.
func (f *foldedVolume) GetLabels() map[string]string { return f.labels }

// DeepCopyObject is the volume.
func (f *foldedVolume) DeepCopyObject() runtime.Object {
	pv := &corev1.PersistentVolume{ObjectMeta: f.meta()}
	if !f.ours {
		return pv
	}
	pv.Labels, pv.Spec.StorageClassName = maps.Clone(f.labels), f.class.Value()
	if driver := f.driver.Value(); driver != "" {
		pv.Spec.CSI = &corev1.CSIPersistentVolumeSource{Driver: driver, VolumeHandle: f.handle}
	} else {
		pv.Spec.PortworxVolume = &corev1.PortworxVolumeSource{VolumeID: f.handle}
	}
	if f.hasClaim {
		pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: f.claimNamespace.Value(), Name: f.claimName, UID: f.claimUID}
	}
	return pv
}
