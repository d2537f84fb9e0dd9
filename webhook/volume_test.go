package webhook

import (
	"strings"
	"testing"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ktypes "k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

func TestC4_AVolumeStaysWithItsTenant(t *testing.T) {
	plain := func(pv *corev1.PersistentVolume) { pv.Annotations = nil }
	complete := func(changes ...func(*corev1.PersistentVolume)) *corev1.PersistentVolume {
		return volume("a", "vol-a", func(pv *corev1.PersistentVolume) {
			pv.Annotations = originOf("a", "")
			for _, change := range changes {
				change(pv)
			}
		})
	}
	to := func(namespace, claim, uid string) func(*corev1.PersistentVolume) {
		return func(pv *corev1.PersistentVolume) {
			pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: namespace, Name: claim}
			pv.Spec.ClaimRef.UID = ktypes.UID(uid)
		}
	}
	nobody := func(pv *corev1.PersistentVolume) { pv.Spec.ClaimRef = nil }
	reborn := func(pv *corev1.PersistentVolume) { pv.Annotations[tenancy.OriginUID] = string(claimUID) }
	labelled := func(pv *corev1.PersistentVolume) { pv.Annotations = originOf("c1", "c") }
	theirs := func(pv *corev1.PersistentVolume) { pv.Spec.CSI.Driver = "ebs.csi.aws.com" }
	for name, c := range map[string]struct {
		object, old *corev1.PersistentVolume
		want        string
	}{
		"the binder fills in the uid":                    {complete(to("a", "claim", "1")), complete(), ""},
		"released, and offered to a claim of that name":  {complete(to("a", "claim", "")), complete(to("a", "claim", "1")), ""},
		"offered to another claim of the tenant":         {complete(to("a", "other", "")), complete(to("a", "claim", "1")), ""},
		"inside a labelled tenant":                       {complete(labelled, to("c2", "claim", "")), complete(labelled, to("c1", "claim", "1")), ""},
		"another driver's":                               {complete(theirs, to("b", "claim", "")), complete(theirs), ""},
		"an update of something else":                    {complete(func(pv *corev1.PersistentVolume) { pv.Finalizers = []string{"x/y"} }), complete(), ""},
		"C4 cleared":                                     {complete(nobody), complete(), "BH-C4"},
		"C4 half cleared":                                {complete(to("a", "", "")), complete(), "BH-C4"},
		"C4 given to another tenant":                     {complete(to("b", "claim", "")), complete(), "BH-C4"},
		"C4 given to a namespace that is not":            {complete(to("nowhere", "claim", "")), complete(), "BH-C4"},
		"C4 offered to a namespace made again":           {complete(reborn, to("a", "claim", "")), complete(reborn, to("a", "claim", "1")), "BH-C4"},
		"C4 bound by a namespace made again":             {complete(reborn, to("a", "claim", "2")), complete(reborn, to("a", "claim", "")), "BH-C4"},
		"bound, from before the install":                 {complete(plain, to("a", "claim", "2")), complete(plain, to("a", "claim", "")), ""},
		"C4 given away by a namespace that is gone":      {complete(plain, to("b", "claim", "")), complete(plain, to("gone", "claim", "1")), "BH-C4"},
		"unclaimed from before the install, to its own":  {complete(plain), complete(plain, nobody), ""},
		"C4 unclaimed from before the install, to other": {complete(plain, to("b", "claim", "")), complete(plain, nobody), "BH-C4"},
		"unclaimed from before the install, untouched":   {complete(plain, nobody, func(pv *corev1.PersistentVolume) { pv.Finalizers = nil }), complete(plain, nobody), ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := world(t)
			if got := denied(t, l, volumes, injectedRequest(t, l, volumes, c.object, c.old, "admin")); got != c.want {
				t.Errorf("denied by %q, want %q", got, c.want)
			}
		})
	}
}

func TestC2_AVolumeThatInjectionDidNotSee(t *testing.T) {
	pv := volume("a", "vol-a", inTree)
	pv.Annotations = map[string]string{
		tenancy.DeletionSecretName: "px-a", tenancy.DeletionSecretNamespace: "tokens",
		tenancy.ModifySecretName: "px-a", tenancy.ModifySecretNamespace: "tokens",
	}
	l := world(t)
	if got := denied(t, l, volumes, request(t, pv, nil, "admin")); got != "BH-C2" {
		t.Errorf("denied by %q, want BH-C2", got)
	}
	if got := denied(t, l, volumes, request(t, pv, pv, "admin")); got != "" {
		t.Errorf("one from before the install is denied by %q", got)
	}
}

// A class from before the install may resolve to a Secret of the tenant's own
// namespace; what its provisioner makes must not be stranded.
func TestC3_WhatAnOldClassProvisions(t *testing.T) {
	referring := func(namespace string) *corev1.PersistentVolume {
		return volume("a", "new", func(pv *corev1.PersistentVolume) {
			madeByProvisioner(pv)
			pv.Spec.CSI.NodePublishSecretRef = &corev1.SecretReference{Namespace: namespace, Name: "px-user-token"}
			pv.Annotations = map[string]string{tenancy.DeletionSecretName: "px-user-token", tenancy.DeletionSecretNamespace: namespace}
		})
	}
	l := world(t, claim(nil))
	for name, c := range map[string]struct {
		namespace, user, want string
	}{
		"in the claim's namespace, by the provisioner":     {"a", provisioner, ""},
		"in another namespace, by the provisioner":         {"b", provisioner, "BH-C3"},
		"in the claim's namespace, by somebody else":       {"a", "admin", "BH-C1,BH-C3"},
		"another Secret of the token namespace, by nobody": {"tokens", provisioner, "BH-C3"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := denied(t, l, volumes, injectedRequest(t, l, volumes, referring(c.namespace), nil, c.user)); got != c.want {
				t.Errorf("denied by %q, want %q", got, c.want)
			}
		})
	}
}

func TestC5_PodsHaveNoInlineVolumeOfOurs(t *testing.T) {
	pod := func(sources ...corev1.VolumeSource) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "x"}}
		for _, source := range sources {
			p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{VolumeSource: source})
		}
		return p
	}
	inline := func(driver string) corev1.VolumeSource {
		return corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: driver, VolumeAttributes: map[string]string{"parent": "v"}}}
	}
	old := corev1.VolumeSource{PortworxVolume: &corev1.PortworxVolumeSource{VolumeID: "v"}}
	byClaim := corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "claim"}}
	ephemeral := corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{VolumeClaimTemplate: &corev1.PersistentVolumeClaimTemplate{}}}
	for name, c := range map[string]struct {
		object, old *corev1.Pod
		want        string
	}{
		"a claim":                             {pod(byClaim, ephemeral), nil, ""},
		"another driver's inline volume":      {pod(inline("secrets-store.csi.k8s.io")), nil, ""},
		"C5 an inline csi volume":             {pod(byClaim, inline(tenancy.CSIDriver)), nil, "BH-C5"},
		"C5 an inline in-tree volume":         {pod(old), nil, "BH-C5"},
		"a Pod from before the install":       {pod(old), pod(old), ""},
		"C5 both, among those that are right": {pod(byClaim, old, inline(tenancy.CSIDriver)), nil, "BH-C5"},
	} {
		t.Run(name, func(t *testing.T) {
			var before client.Object
			if c.old != nil {
				before = c.old
			}
			if got := denied(t, world(t), pods, request(t, c.object, before, "dev")); got != c.want {
				t.Errorf("denied by %q, want %q", got, c.want)
			}
		})
	}
}

func TestC7_NamesOfTheDriverThatAreNotGuarded(t *testing.T) {
	class := func(provisioner string) *storagev1.StorageClass {
		return &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "x"}, Provisioner: provisioner}
	}
	l := world(t)
	for provisioner, want := range map[string]string{
		"pxd.openstorage.org": "BH-C7", "com.openstorage.pxd": "BH-C7", "ebs.csi.aws.com": "", tenancy.CSIDriver: "", tenancy.InTreePlugin: "",
	} {
		if got := denied(t, l, storageClasses, injectedRequest(t, l, storageClasses, class(provisioner), nil, "admin")); got != want {
			t.Errorf("%s: denied by %q, want %q", provisioner, got, want)
		}
	}
	if got := denied(t, l, storageClasses, request(t, class("com.openstorage.pxd"), class("com.openstorage.pxd"), "admin")); got != "" {
		t.Errorf("a class from before the install is denied by %q", got)
	}
	for name, want := range map[string]string{"pxd.openstorage.org": "BH-C7", "ebs.csi.aws.com": ""} {
		pv := volume("a", "vol-b", func(pv *corev1.PersistentVolume) { pv.Spec.CSI.Driver = name })
		if got := denied(t, l, volumes, injectedRequest(t, l, volumes, pv, nil, "admin")); got != want {
			t.Errorf("a volume of %s: denied by %q, want %q", name, got, want)
		}
		was := content("a", nil, func(c *snapshotv1.VolumeSnapshotContent) { c.Spec.Driver = "ebs.csi.aws.com" })
		is := content("a", nil, func(c *snapshotv1.VolumeSnapshotContent) { c.Spec.Driver = name })
		for how, old := range map[string]*snapshotv1.VolumeSnapshotContent{"new": nil, "changed": was} {
			if got := denied(t, l, contents, request(t, is, old, "admin")); got != want {
				t.Errorf("a %s content of %s: denied by %q, want %q", how, name, got, want)
			}
		}
		if got := denied(t, l, contents, request(t, is, is, "admin")); got != "" {
			t.Errorf("a content of %s from before the install is denied by %q", name, got)
		}
		inline := &corev1.Pod{Spec: corev1.PodSpec{Volumes: []corev1.Volume{{VolumeSource: corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: name}}}}}}
		if got := denied(t, l, pods, request(t, inline, nil, "dev")); got != strings.ReplaceAll(want, "C7", "C5") {
			t.Errorf("an inline volume of %s is denied by %q", name, got)
		}
	}
	l.drivers.InTree = nil
	if got := denied(t, l, storageClasses, request(t, class(tenancy.InTreePlugin), nil, "admin")); got != "BH-C7" {
		t.Errorf("the in-tree plugin, not configured, is denied by %q", got)
	}
}
