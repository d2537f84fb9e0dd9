package e2e

import (
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
	"github.com/bulkhead-dev/bulkhead/test/node"
)

// The demo's story once more, by nothing but kubectl: what people of two teams and
// a storage operator type, and what they get to see.

const (
	// storyStage is what the cluster admin gives to the teams.
	storyStage = `
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: gold}
provisioner: ` + cluster.DriverName + `
parameters: {repl: "1"}
---
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshotClass
metadata: {name: gold}
driver: ` + cluster.DriverName + `
deletionPolicy: Delete
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: story-snapshots, labels: {rbac.authorization.k8s.io/aggregate-to-admin: "true"}}
rules:
  - {apiGroups: [snapshot.storage.k8s.io], resources: [volumesnapshots], verbs: ["*"]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: story-operator}
rules:
  - {apiGroups: [""], resources: [persistentvolumes], verbs: ["*"]}
`
	ledger = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {storageClassName: gold, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: app}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - {name: app, image: "` + node.PauseImage + `", imagePullPolicy: Never, volumeMounts: [{name: data, mountPath: /data}]}
  volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
`
	snapshotAndRestore = `
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshot
metadata: {name: night}
spec: {volumeSnapshotClassName: gold, source: {persistentVolumeClaimName: data}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: restored}
spec:
  storageClassName: gold
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
  dataSource: {apiGroup: snapshot.storage.k8s.io, kind: VolumeSnapshot, name: night}
`
)

// thefts are what shop, or an operator whom it asks, tries on the bank's volume.
var thefts = []struct{ what, as, manifest, rule string }{
	{"a clone across namespaces", "mallory", `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: stolen, namespace: shop}
spec:
  storageClassName: gold
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
  dataSourceRef: {kind: PersistentVolumeClaim, name: data, namespace: bank}
`, "BH-A1"},
	{"a copy by the driver's own key", "mallory", `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: stolen, namespace: shop, annotations: {parent: "HANDLE"}}
spec: {storageClassName: gold, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
`, "BH-A4"},
	{"a claim of the bank's volume", "mallory", `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: stolen, namespace: shop}
spec: {storageClassName: gold, volumeName: VOLUME, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
`, "BH-A6"},
	{"a Pod with an inline volume", "mallory", `
apiVersion: v1
kind: Pod
metadata: {name: stolen, namespace: shop}
spec:
  containers: [{name: app, image: "` + node.PauseImage + `"}]
  volumes: [{name: data, portworxVolume: {volumeID: "HANDLE"}}]
`, "BH-C5"},
	{"a static volume", "operator", `
apiVersion: v1
kind: PersistentVolume
metadata: {name: stolen}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  claimRef: {namespace: shop, name: stolen}
  csi: {driver: ` + cluster.DriverName + `, volumeHandle: "HANDLE"}
`, "BH-C1"},
	{"a static volume with the bank's token", "operator", `
apiVersion: v1
kind: PersistentVolume
metadata: {name: stolen}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  claimRef: {namespace: shop, name: stolen}
  csi:
    driver: ` + cluster.DriverName + `
    volumeHandle: "HANDLE"
    nodePublishSecretRef: {namespace: TOKENS, name: TOKEN}
`, "BH-C3"},
}

func testStory(t *testing.T) {
	must := func(stdin string, args ...string) string {
		t.Helper()
		return kubectl(t, stdin, args...)
	}
	must(storyStage, "apply", "--filename=-")
	must("", "create", "clusterrolebinding", "story-operator", "--clusterrole=story-operator", "--user=operator")
	for team, person := range map[string]string{"shop": "mallory", "bank": "alice"} {
		must("", "create", "namespace", team)
		must("", "create", "rolebinding", "admin", "--namespace="+team, "--clusterrole=admin", "--user="+person)
		must("", "wait", "--namespace="+team, "--for=create", "--timeout=3m", "serviceaccount/default")
		must(ledger, "apply", "--filename=-", "--namespace="+team, "--as="+person)
	}
	for _, team := range []string{"shop", "bank"} {
		must("", "wait", "--namespace="+team, "--for=condition=Ready", "--timeout=3m", "pod/app")
	}

	volume := must("", "get", "pvc", "data", "--namespace=bank", "--output=jsonpath={.spec.volumeName}")
	token := must("", "get", "pv", volume, "--output=jsonpath={.spec.csi.nodePublishSecretRef.namespace} {.spec.csi.nodePublishSecretRef.name}")
	tokens, secret, _ := strings.Cut(token, " ")
	names := strings.NewReplacer(
		"HANDLE", must("", "get", "pv", volume, "--output=jsonpath={.spec.csi.volumeHandle}"),
		"VOLUME", volume, "TOKENS", tokens, "TOKEN", secret,
	)
	for _, theft := range thefts {
		t.Run(theft.what, func(t *testing.T) {
			output, err := stage.compute.Kubectl(t.Context(), names.Replace(theft.manifest), "create", "--filename=-", "--as="+theft.as)
			if err == nil || !strings.Contains(output, theft.rule+":") {
				t.Errorf("want a refusal by %s, got %q", theft.rule, output)
			}
		})
	}
	t.Run("the token itself", func(t *testing.T) {
		output, err := stage.compute.Kubectl(t.Context(), "", "get", "secret", secret, "--namespace="+tokens, "--as=mallory")
		if err == nil || !strings.Contains(output, "Forbidden") {
			t.Errorf("got %q", output)
		}
	})
	t.Run("what is one's own", func(t *testing.T) {
		kubectl(t, snapshotAndRestore, "apply", "--filename=-", "--namespace=bank", "--as=alice")
		kubectl(t, "", "wait", "--namespace=bank", "--for=jsonpath={.status.phase}=Bound", "--timeout=3m", "pvc/restored")
		kubectl(t, "", "delete", "--namespace=bank", "--as=alice", "pvc/restored", "volumesnapshot/night", "--timeout=3m")
	})

	// The bank closes and leaves a volume behind; somebody takes its name.
	must("", "patch", "pv", volume, "--patch", `{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}`)
	must("", "delete", "namespace", "bank", "--timeout=5m")
	must("", "create", "namespace", "bank")
	output, err := stage.compute.Kubectl(t.Context(), names.Replace(`
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: bank}
spec: {storageClassName: gold, volumeName: VOLUME, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
`), "create", "--filename=-")
	if err == nil || !strings.Contains(output, "BH-A6:") {
		t.Errorf("the next bank's claim of the volume that was left: want a refusal by BH-A6, got %q", output)
	}
	must("", "patch", "pv", volume, "--patch", `{"spec":{"persistentVolumeReclaimPolicy":"Delete"}}`)
	must("", "wait", "--for=delete", "--timeout=3m", "pv/"+volume)
	must("", "delete", "namespace", "shop", "bank", "--timeout=5m")
}

// kubectl does what must succeed, and returns what it prints.
func kubectl(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	output, err := stage.compute.Kubectl(t.Context(), stdin, args...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(output)
}
