package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
	"github.com/bulkhead-dev/bulkhead/test/node"
)

const podTimeout = 3 * time.Minute

// withClaim is a namespace with a class, a claim of it and a Pod that mounts that.
const withClaim = `
apiVersion: v1
kind: Namespace
metadata: {name: NAME}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: NAME}
provisioner: PROVISIONER
parameters: {repl: "1"}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: NAME}
spec:
  storageClassName: NAME
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
` + claimsPod

// claimsPod is a Pod that mounts the claim "data" of its namespace.
const claimsPod = `
---
apiVersion: v1
kind: Pod
metadata: {name: APP, namespace: NAME}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: app
      image: ` + node.PauseImage + `
      imagePullPolicy: Never
      volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
`

func testMounts(t *testing.T) {
	for name, provisioner := range map[string]string{
		"team-csi":     cluster.DriverName,
		"team-in-tree": "kubernetes.io/portworx-volume",
	} {
		t.Run(provisioner, func(t *testing.T) {
			apply(t, strings.NewReplacer("NAME", name, "PROVISIONER", provisioner, "APP", "app").Replace(withClaim))
			waitRunning(t, name, "app")
		})
	}
}

// apply applies manifests, again until their namespace has its ServiceAccount.
func apply(t *testing.T, manifests string) {
	t.Helper()
	err := cluster.Poll(t.Context(), podTimeout, func(ctx context.Context) error {
		return stage.compute.Apply(ctx, []byte(manifests))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func waitRunning(t *testing.T, namespace, name string) {
	t.Helper()
	err := cluster.Poll(t.Context(), podTimeout, func(ctx context.Context) error {
		pod, err := stage.compute.Client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		if err == nil && pod.Status.Phase != corev1.PodRunning {
			err = errors.New("it is " + string(pod.Status.Phase))
		}
		return err
	})
	if err != nil {
		t.Fatalf("Pod %s/%s: %v%s", namespace, name, err, events(t, namespace))
	}
}

// events are those of a namespace, one a line.
func events(t *testing.T, namespace string) string {
	t.Helper()
	list, err := stage.compute.Client.CoreV1().Events(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		return err.Error()
	}
	var text strings.Builder
	for _, event := range list.Items {
		fmt.Fprintf(&text, "\n%s %s: %s: %s", event.InvolvedObject.Kind, event.InvolvedObject.Name, event.Reason, event.Message)
	}
	return text.String()
}
