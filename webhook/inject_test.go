package webhook

import (
	"encoding/json"
	"maps"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// injected is the object as mutation leaves it, and how many operations that
// took. It fails if doing it again would change anything more.
func injected[T any](t *testing.T, r reviewer, object, old client.Object) (*T, int) {
	t.Helper()
	once, operations := mutated(t, r, object, old)
	var result T
	if err := json.Unmarshal(once, &result); err != nil {
		t.Fatal(err)
	}
	again, ok := any(&result).(client.Object)
	if !ok {
		t.Fatalf("%T is no object", result)
	}
	if _, more := mutated(t, r, again, old); more != 0 {
		t.Errorf("the second time changes %d things more", more)
	}
	return &result, operations
}

func mutated(t *testing.T, r reviewer, object, old client.Object) (raw []byte, operations int) {
	t.Helper()
	return patched(t, world(t), r, request(t, object, old, "admin"))
}

// patched is what mutation makes of the object in the request.
func patched(t *testing.T, l *lookup, r reviewer, req admission.Request) (raw []byte, operations int) {
	t.Helper()
	changes, _, err := r.mutate(t.Context(), l, req)
	if err != nil {
		t.Fatalf("refused: %v", err)
	}
	if raw, err = changes.apply(req.Object.Raw); err != nil {
		t.Fatalf("%v in %v", err, changes)
	}
	return raw, len(changes)
}

func TestStorageClassInjection(t *testing.T) {
	class := func(provisioner string, parameters map[string]string) *storagev1.StorageClass {
		return &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "x"}, Provisioner: provisioner, Parameters: parameters}
	}
	auth := map[string]string{tenancy.AuthSecretName: "px-${pvc.namespace}", tenancy.AuthSecretNamespace: "tokens"}
	both := map[string]string{tenancy.CSISecretName: "px-${pvc.namespace}", tenancy.CSISecretNamespace: "tokens"}
	maps.Copy(both, auth)
	plus := func(m map[string]string, key, value string) map[string]string {
		m = maps.Clone(m)
		m[key] = value
		return m
	}
	byHand := map[string]string{tenancy.CSISecretName: "px-b", tenancy.CSISecretNamespace: "b"}
	for name, c := range map[string]struct {
		object, old *storagev1.StorageClass
		want        map[string]string
	}{
		"a csi class":                           {class(tenancy.CSIDriver, map[string]string{"repl": "1"}), nil, plus(both, "repl", "1")},
		"a csi class without parameters":        {class(tenancy.CSIDriver, nil), nil, both},
		"an in-tree class":                      {class(tenancy.InTreePlugin, map[string]string{"repl": "1"}), nil, plus(auth, "repl", "1")},
		"another driver's class":                {class("ebs.csi.aws.com", map[string]string{"type": "gp3"}), nil, map[string]string{"type": "gp3"}},
		"what an admin wrote is left to judge":  {class(tenancy.CSIDriver, byHand), nil, plus(plus(auth, tenancy.CSISecretName, "px-b"), tenancy.CSISecretNamespace, "b")},
		"the original manifest, applied again":  {class(tenancy.CSIDriver, map[string]string{"repl": "1"}), class(tenancy.CSIDriver, plus(both, "repl", "1")), plus(both, "repl", "1")},
		"a class from before the install":       {class(tenancy.CSIDriver, map[string]string{"repl": "1"}), class(tenancy.CSIDriver, map[string]string{"repl": "1"}), map[string]string{"repl": "1"}},
		"a class of another layout, re-applied": {class(tenancy.CSIDriver, nil), class(tenancy.CSIDriver, byHand), byHand},
	} {
		t.Run(name, func(t *testing.T) {
			var old client.Object
			if c.old != nil {
				old = c.old
			}
			got, _ := injected[storagev1.StorageClass](t, storageClasses, c.object, old)
			if !maps.Equal(got.Parameters, c.want) {
				t.Errorf("got %v, want %v", got.Parameters, c.want)
			}
		})
	}
}

func TestClaimInjection(t *testing.T) {
	mine := map[string]string{tenancy.AuthSecretName: "px-a", tenancy.AuthSecretNamespace: "tokens"}
	for name, c := range map[string]struct {
		object, old *corev1.PersistentVolumeClaim
		want        map[string]string
	}{
		"without annotations":            {claim(func(c *corev1.PersistentVolumeClaim) { c.Annotations = nil }), nil, mine},
		"A5 somebody else's on creation": {claim(annotate(tenancy.AuthSecretName, "px-b")), nil, mine},
		"another driver's":               {claim(inClass("theirs", func(c *corev1.PersistentVolumeClaim) { c.Annotations = nil })), nil, nil},
		"A5 overwritten with the class": {claim(annotate(tenancy.AuthSecretName, "px-b")), claim(func(c *corev1.PersistentVolumeClaim) {
			annotate(tenancy.AuthSecretName, "px-b")(c)
			c.Spec.StorageClassName = nil
		}), mine},
		"half of it put back":        {claim(func(c *corev1.PersistentVolumeClaim) { delete(c.Annotations, tenancy.AuthSecretName) }), claim(nil), mine},
		"put back when left out":     {claim(func(c *corev1.PersistentVolumeClaim) { c.Annotations = nil }), claim(nil), mine},
		"A5 not hidden on an update": {claim(annotate(tenancy.AuthSecretName, "px-b")), claim(nil), map[string]string{tenancy.AuthSecretName: "px-b", tenancy.AuthSecretNamespace: "tokens"}},
	} {
		t.Run(name, func(t *testing.T) {
			var old client.Object
			if c.old != nil {
				old = c.old
			}
			got, _ := injected[corev1.PersistentVolumeClaim](t, claims, c.object, old)
			if !maps.Equal(got.Annotations, c.want) {
				t.Errorf("got %v, want %v", got.Annotations, c.want)
			}
		})
	}
}

func TestVolumeInjection(t *testing.T) {
	own := corev1.SecretReference{Namespace: "tokens", Name: "px-a"}
	check := func(t *testing.T, pv *corev1.PersistentVolume, publish corev1.SecretReference) {
		t.Helper()
		if pv.Spec.CSI == nil || pv.Spec.PortworxVolume != nil {
			t.Fatalf("source is %+v, want csi", pv.Spec.PersistentVolumeSource)
		}
		if pv.Spec.CSI.Driver != tenancy.CSIDriver || pv.Spec.CSI.VolumeHandle != "vol-a" {
			t.Errorf("csi source is %s/%s", pv.Spec.CSI.Driver, pv.Spec.CSI.VolumeHandle)
		}
		for field, got := range map[string]struct {
			ref  *corev1.SecretReference
			want corev1.SecretReference
		}{
			"controllerExpand":  {pv.Spec.CSI.ControllerExpandSecretRef, own},
			"controllerPublish": {pv.Spec.CSI.ControllerPublishSecretRef, own},
			"nodeExpand":        {pv.Spec.CSI.NodeExpandSecretRef, own},
			"nodePublish":       {pv.Spec.CSI.NodePublishSecretRef, publish},
			"nodeStage":         {pv.Spec.CSI.NodeStageSecretRef, own},
		} {
			if got.ref == nil || *got.ref != got.want {
				t.Errorf("%sSecretRef is %v, want %v", field, got.ref, got.want)
			}
		}
		for key, want := range map[string]string{
			tenancy.DeletionSecretName: "px-a", tenancy.DeletionSecretNamespace: "tokens",
			tenancy.ModifySecretName: "px-a", tenancy.ModifySecretNamespace: "tokens",
		} {
			if pv.Annotations[key] != want {
				t.Errorf("annotation %s is %q, want %q", key, pv.Annotations[key], want)
			}
		}
	}
	t.Run("a csi volume", func(t *testing.T) {
		pv, _ := injected[corev1.PersistentVolume](t, volumes, volume("a", "vol-a", nil), nil)
		check(t, pv, own)
	})
	t.Run("what is there stays", func(t *testing.T) {
		other := corev1.SecretReference{Namespace: "x", Name: "y"}
		pv, _ := injected[corev1.PersistentVolume](t, volumes, volume("a", "vol-a", func(pv *corev1.PersistentVolume) {
			pv.Spec.CSI.NodePublishSecretRef = &other
			pv.Spec.CSI.NodeStageSecretRef = &corev1.SecretReference{} // empty counts as missing
		}), nil)
		check(t, pv, other)
	})
	t.Run("C2 an in-tree volume becomes a csi one", func(t *testing.T) {
		pv, _ := injected[corev1.PersistentVolume](t, volumes, volume("a", "vol-a", func(pv *corev1.PersistentVolume) {
			inTree(pv)
			pv.Annotations = map[string]string{tenancy.ProvisionedBy: tenancy.InTreePlugin}
		}), nil)
		check(t, pv, own)
		if pv.Spec.CSI.FSType != "ext4" || pv.Annotations[tenancy.ProvisionedBy] != tenancy.CSIDriver {
			t.Errorf("file system %q, provisioned by %q", pv.Spec.CSI.FSType, pv.Annotations[tenancy.ProvisionedBy])
		}
	})
	t.Run("another driver's volume is left alone", func(t *testing.T) {
		_, operations := injected[corev1.PersistentVolume](t, volumes, volume("a", "vol-a", func(pv *corev1.PersistentVolume) { pv.Spec.CSI.Driver = "x" }), nil)
		if operations != 0 {
			t.Errorf("%d changes", operations)
		}
	})
}
