package webhook

import (
	"maps"
	"testing"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// content is a dynamic snapshot content, as the snapshot controller makes it.
func content(namespace string, annotations map[string]string, change func(*snapshotv1.VolumeSnapshotContent)) *snapshotv1.VolumeSnapshotContent {
	handle := "vol-a"
	c := &snapshotv1.VolumeSnapshotContent{
		ObjectMeta: metav1.ObjectMeta{Name: "snapcontent-" + string(claimUID), Annotations: annotations},
		Spec: snapshotv1.VolumeSnapshotContentSpec{
			Driver:            tenancy.CSIDriver,
			VolumeSnapshotRef: corev1.ObjectReference{Namespace: namespace, Name: "snap", UID: claimUID},
			Source:            snapshotv1.VolumeSnapshotContentSource{VolumeHandle: &handle},
		},
	}
	if change != nil {
		change(c)
	}
	return c
}

func originOf(namespace, label string) map[string]string {
	return map[string]string{
		tenancy.OriginNamespace: namespace, tenancy.OriginUID: string(uidOf(namespace)), tenancy.TenantLabel: label,
	}
}

func TestTheOriginIsTheWebhooksWord(t *testing.T) {
	forged := originOf("b", "")
	deletion := func(m map[string]string, name, namespace string) map[string]string {
		m = maps.Clone(m)
		m[tenancy.SnapshotDeletionSecretName], m[tenancy.SnapshotDeletionSecretNamespace] = name, namespace
		return m
	}
	for name, c := range map[string]struct {
		object, old *snapshotv1.VolumeSnapshotContent
		want        map[string]string
	}{
		"a new content":                        {content("a", nil, nil), nil, deletion(originOf("a", ""), "px-a", "tokens")},
		"a labelled tenant's":                  {content("c1", nil, nil), nil, deletion(originOf("c1", "c"), "px-c1", "tokens")},
		"a forged origin is overwritten":       {content("a", forged, nil), nil, deletion(originOf("a", ""), "px-a", "tokens")},
		"a forged origin of no namespace goes": {content("nowhere", forged, nil), nil, deletion(map[string]string{}, "px-nowhere", "tokens")},
		"a written deletion Secret is judged":  {content("a", deletion(map[string]string{}, "px-b", "tokens"), nil), nil, deletion(originOf("a", ""), "px-b", "tokens")},
		"what an update leaves out comes back": {content("a", nil, nil), content("a", deletion(originOf("a", ""), "retired.x", "tokens"), nil), deletion(originOf("a", ""), "retired.x", "tokens")},
		"another driver's is left alone":       {content("a", forged, func(c *snapshotv1.VolumeSnapshotContent) { c.Spec.Driver = "ebs.csi.aws.com" }), nil, forged},
	} {
		t.Run(name, func(t *testing.T) {
			var old client.Object
			if c.old != nil {
				old = c.old
			}
			got, _ := injected[snapshotv1.VolumeSnapshotContent](t, contents, c.object, old)
			if !maps.Equal(got.Annotations, c.want) {
				t.Errorf("got %v, want %v", got.Annotations, c.want)
			}
		})
	}
	t.Run("a forged origin of a volume is overwritten", func(t *testing.T) {
		got, _ := injected[corev1.PersistentVolume](t, volumes, volume("a", "vol-a", func(pv *corev1.PersistentVolume) { pv.Annotations = forged }), nil)
		if tenant, _ := tenancy.OriginOf(got.Annotations); tenant.Namespace != "a" {
			t.Errorf("got %v", got.Annotations)
		}
	})
}

func TestB3_C3_OnlyTheSidecarMovesReferences(t *testing.T) {
	l := world(t)
	with := func(m map[string]string, key, value string) map[string]string {
		m = maps.Clone(m)
		m[key] = value
		return m
	}
	right := with(with(originOf("a", ""), tenancy.SnapshotDeletionSecretName, "px-a"), tenancy.SnapshotDeletionSecretNamespace, "tokens")
	retired := with(right, tenancy.SnapshotDeletionSecretName, "retired.x")
	for name, c := range map[string]struct {
		annotations, old map[string]string
		user, want       string
	}{
		"B3 made with another tenant's Secret": {with(right, tenancy.SnapshotDeletionSecretName, "px-b"), nil, "admin", "BH-B3"},
		"B3 moved by an admin":                 {with(right, tenancy.SnapshotDeletionSecretName, "px-b"), right, "admin", "BH-B3"},
		"B3 another origin":                    {with(right, tenancy.OriginUID, "x"), right, "admin", "BH-B3"},
		"told whose it is, after the install":  {right, map[string]string{}, "admin", ""},
		"B3 told another tenant":               {with(right, tenancy.OriginNamespace, "b"), map[string]string{}, "admin", "BH-B3"},
		"B3 told half of it":                   {map[string]string{tenancy.TenantLabel: "c"}, map[string]string{}, "admin", "BH-B3"},
		"made as it should be":                 {right, nil, "admin", ""},
		"moved by the sidecar":                 {retired, right, sidecar, ""},
		"put right by an admin":                {right, with(right, tenancy.SnapshotDeletionSecretName, "px-b"), "admin", ""},
		"other annotations":                    {with(right, "x", "y"), right, "admin", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var old client.Object
			if c.old != nil {
				old = content("a", c.old, nil)
			}
			if got := denied(t, l, contents, request(t, content("a", c.annotations, nil), old, c.user)); got != c.want {
				t.Errorf("denied by %q, want %q", got, c.want)
			}
		})
	}
	pv := func(change func(*corev1.PersistentVolume)) *corev1.PersistentVolume {
		return volume("a", "vol-a", change)
	}
	complete, _ := injected[corev1.PersistentVolume](t, volumes, pv(nil), nil)
	for name, c := range map[string]struct {
		object, old *corev1.PersistentVolume
		user, want  string
	}{
		"C3 made with another tenant's Secret": {pv(func(pv *corev1.PersistentVolume) {
			pv.Spec.CSI.NodePublishSecretRef = &corev1.SecretReference{Namespace: "tokens", Name: "px-b"}
		}), nil, "admin", "BH-C3"},
		"C3 made with another tenant's deletion Secret": {pv(func(pv *corev1.PersistentVolume) {
			pv.Annotations = map[string]string{tenancy.DeletionSecretName: "px-b", tenancy.DeletionSecretNamespace: "tokens"}
		}), nil, "admin", "BH-C3"},
		"C3 with half a deletion Secret": {pv(func(pv *corev1.PersistentVolume) {
			pv.Annotations = map[string]string{tenancy.DeletionSecretNamespace: "tokens"}
		}), nil, "admin", "BH-C3"},
		"C3 moved by an admin": {func() *corev1.PersistentVolume {
			moved := complete.DeepCopy()
			moved.Annotations[tenancy.ModifySecretName] = "px-b"
			return moved
		}(), complete, "admin", "BH-C3"},
		"moved by the sidecar": {func() *corev1.PersistentVolume {
			moved := complete.DeepCopy()
			moved.Annotations[tenancy.DeletionSecretName] = "retired.x"
			return moved
		}(), complete, sidecar, ""},
		"made without": {pv(nil), nil, "admin", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var old client.Object
			if c.old != nil {
				old = c.old
			}
			if got := denied(t, l, volumes, injectedRequest(t, l, volumes, c.object, old, c.user)); got != c.want {
				t.Errorf("denied by %q, want %q", got, c.want)
			}
		})
	}
}
