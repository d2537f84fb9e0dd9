package attacks

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/test/actors"
)

// manifests are what owners keep in their repositories: of every kind that
// Bulkhead injects into, and nothing of what it injects.
const manifests = `
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: ${NAME}}
provisioner: pxd.portworx.com
parameters: {repl: "1"}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: ${NAME}}
provisioner: kubernetes.io/portworx-volume
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: ${NAME}, namespace: ${NAMESPACE}, labels: {app: web}}
spec: {storageClassName: px-csi, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: ${NAME}}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  claimRef: {apiVersion: v1, kind: PersistentVolumeClaim, namespace: ${NAMESPACE}, name: ${NAME}-other}
  csi: {driver: pxd.portworx.com, volumeHandle: ${VOLUME}}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: ${NAME}}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  claimRef: {apiVersion: v1, kind: PersistentVolumeClaim, namespace: ${NAMESPACE}, name: ${NAME}-other}
  portworxVolume: {volumeID: "${VOLUME}", fsType: ext4}
---
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshotClass
metadata: {name: ${NAME}}
driver: pxd.portworx.com
deletionPolicy: Delete
---
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshotContent
metadata: {name: ${NAME}}
spec:
  driver: pxd.portworx.com
  deletionPolicy: Retain
  source: {snapshotHandle: ${SNAPSHOT}}
  volumeSnapshotRef: {namespace: ${NAMESPACE}, name: ${NAME}}
`

// An owner who applies a manifest again and again is not refused and changes
// nothing, whichever side merges.
func TestKubectlApplyDoesNotFlap(t *testing.T) {
	s := set(t)
	for how, args := range map[string][]string{
		"client-side": {"apply", "--filename", "-"},
		"server-side": {"apply", "--server-side", "--filename", "-"},
	} {
		t.Run(how, func(t *testing.T) {
			for i, manifest := range strings.Split(manifests, "---\n") {
				manifest = os.Expand(manifest, func(name string) string {
					return map[string]string{
						"NAME": fmt.Sprintf("%s-%d", how, i), "NAMESPACE": s.attacker.Namespace.Name,
						"VOLUME": s.values["OWN_VOLUME"], "SNAPSHOT": s.values["OWN_SNAPSHOT_HANDLE"],
					}[name]
				})
				appliedThrice(t, s.admin, manifest, args)
			}
		})
	}
}

func appliedThrice(t *testing.T, admin *actors.ClusterAdmin, manifest string, args []string) {
	t.Helper()
	object := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(manifest), object); err != nil {
		t.Fatal(err)
	}
	what := object.GetKind() + " " + object.GetName()
	var first *unstructured.Unstructured
	for i := range 3 {
		if _, err := admin.Compute.Kubectl(t.Context(), manifest, args...); err != nil {
			t.Errorf("%s, time %d: %v", what, i+1, err)
			return
		}
		err := actors.Eventually(t.Context(), func(ctx context.Context) (bool, error) {
			err := admin.Get(ctx, client.ObjectKeyFromObject(object), object)
			phase, _, _ := unstructured.NestedString(object.Object, "status", "phase")
			// What controllers do to a claim is not the owner's.
			return object.GetKind() != "PersistentVolumeClaim" || phase == "Bound", err
		})
		if err != nil {
			t.Errorf("%s, time %d: %v", what, i+1, err)
			return
		}
		if first == nil {
			first = object.DeepCopy()
			if text := fmt.Sprint(first.Object); !strings.Contains(text, admin.Layout.TokenNamespace) {
				t.Errorf("%s: nothing was injected, so this shows nothing: %s", what, text)
			}
			continue
		}
		for _, field := range []string{"spec", "parameters", "provisioner", "driver", "labels", "annotations"} {
			is, was := object.Object[field], first.Object[field]
			switch field {
			case "labels", "annotations":
				is, _, _ = unstructured.NestedMap(object.Object, "metadata", field)
				was, _, _ = unstructured.NestedMap(first.Object, "metadata", field)
			}
			if !reflect.DeepEqual(is, was) {
				t.Errorf("%s, time %d: %s is\n%v\nand was\n%v", what, i+1, field, is, was)
			}
		}
	}
}
