package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
	"github.com/bulkhead-dev/bulkhead/test/node"
)

// kept is the token Secret of team-csi as it was before the uninstall.
var kept types.UID

func testUninstall(t *testing.T) {
	ctx := t.Context()
	kept = tokenSecret(t, "team-csi").UID
	if _, err := stage.run(ctx, stage.binaries.Helm, "uninstall", "bulkhead",
		"--kubeconfig", stage.compute.Kubeconfig, "--namespace", namespace, "--wait", "--timeout", "5m"); err != nil {
		t.Fatal(err)
	}
	left, err := inForce(ctx)
	if err != nil || len(left) > 0 {
		t.Errorf("still in force: %v, %v", left, err)
	}
	if now := tokenSecret(t, "team-csi").UID; now != kept {
		t.Errorf("the token Secret of team-csi is another one")
	}
	apply(t, strings.NewReplacer("NAME", "team-csi", "APP", "after-uninstall").Replace(claimsPod))
	waitRunning(t, "team-csi", "after-uninstall")
}

// inForce are all webhook configurations and policies.
func inForce(ctx context.Context) (names []string, err error) {
	client := stage.compute.Client.AdmissionregistrationV1()
	validating, err := client.ValidatingWebhookConfigurations().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, object := range validating.Items {
		names = append(names, "ValidatingWebhookConfiguration "+object.Name)
	}
	mutating, err := client.MutatingWebhookConfigurations().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, object := range mutating.Items {
		names = append(names, "MutatingWebhookConfiguration "+object.Name)
	}
	validatingPolicies, err := client.ValidatingAdmissionPolicies().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, object := range validatingPolicies.Items {
		names = append(names, "ValidatingAdmissionPolicy "+object.Name)
	}
	mutatingPolicies, err := client.MutatingAdmissionPolicies().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, object := range mutatingPolicies.Items {
		names = append(names, "MutatingAdmissionPolicy "+object.Name)
	}
	return names, nil
}

func tokenSecret(t *testing.T, team string) *corev1.Secret {
	t.Helper()
	layout := stage.compute.Layout
	name := strings.ReplaceAll(layout.Template, "${namespace}", team)
	secret, err := stage.compute.Client.CoreV1().Secrets(layout.TokenNamespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// Pods of another team that name a volume of team-csi, by a static volume and
// inline; and what becomes of an in-tree class where nobody rewrites its volumes:
// it names a token, so that they are provisioned, but mounts show none.
const (
	thiefs = `
apiVersion: v1
kind: Namespace
metadata: {name: thief}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: thiefs}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  claimRef: {namespace: thief, name: data}
  csi: {driver: ` + cluster.DriverName + `, volumeHandle: "HANDLE"}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: thief}
spec:
  storageClassName: ""
  volumeName: thiefs
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
`
	inline = `
apiVersion: v1
kind: Pod
metadata: {name: inline, namespace: thief}
spec:
  containers:
    - name: app
      image: ` + node.PauseImage + `
      imagePullPolicy: Never
      volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, portworxVolume: {volumeID: "HANDLE"}}]
`
	byHand = `
apiVersion: v1
kind: Namespace
metadata: {name: by-hand}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: by-hand}
provisioner: kubernetes.io/portworx-volume
parameters:
  repl: "1"
  openstorage.io/auth-secret-name: TOKEN
  openstorage.io/auth-secret-namespace: TOKENS
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: by-hand}
spec:
  storageClassName: by-hand
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
`
)

func testWithout(t *testing.T) {
	claim, err := stage.compute.Client.CoreV1().PersistentVolumeClaims("team-csi").Get(t.Context(), "data", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	volume, err := stage.compute.Client.CoreV1().PersistentVolumes().Get(t.Context(), claim.Spec.VolumeName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	token := tokenSecret(t, "team-csi")
	names := strings.NewReplacer("HANDLE", volume.Spec.CSI.VolumeHandle, "TOKENS", token.Namespace, "TOKEN", token.Name, "APP", "app")
	for _, c := range []struct{ manifests, namespace, pod string }{
		{thiefs + strings.ReplaceAll(claimsPod, "NAME", "thief"), "thief", "app"},
		{inline, "thief", "inline"},
		{byHand + strings.ReplaceAll(claimsPod, "NAME", "by-hand"), "by-hand", "app"},
	} {
		apply(t, names.Replace(c.manifests))
		err := cluster.Poll(t.Context(), podTimeout, func(ctx context.Context) error {
			return refusedMount(ctx, c.namespace, c.pod)
		})
		if err != nil {
			t.Errorf("Pod %s/%s: %v%s", c.namespace, c.pod, err, events(t, c.namespace))
		}
		// A kubelet waits longer after each failure with a volume, whichever Pod it is for.
		if err := stage.compute.Client.CoreV1().Pods(c.namespace).Delete(t.Context(), c.pod, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	}
	// Those that wait for ever would hold the next install's look at all Pods.
	for _, name := range []string{"thief", "by-hand"} {
		if err := stage.compute.Client.CoreV1().Namespaces().Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	}
}

// refusedMount is whether the driver has refused a Pod its volume, which hence does
// not run.
func refusedMount(ctx context.Context, namespace, name string) error {
	list, err := stage.compute.Client.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{FieldSelector: "reason=FailedMount,involvedObject.name=" + name})
	if err != nil {
		return err
	}
	for _, event := range list.Items {
		if !strings.Contains(event.Message, "Access denied") {
			continue
		}
		pod, err := stage.compute.Client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		if err == nil && pod.Status.Phase != corev1.PodPending {
			err = fmt.Errorf("it is %s", pod.Status.Phase)
		}
		return err
	}
	return errors.New("no event says that access was denied")
}

func testReinstall(t *testing.T) {
	if err := stage.install(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if now := tokenSecret(t, "team-csi").UID; now != kept {
		t.Error("the token Secret of team-csi is another one")
	}
	apply(t, strings.ReplaceAll(aPlainClaim, "name: plain", "name: after-reinstall"))
	waitBound(t, "team-csi", "after-reinstall")
	testNoRestart(t)
}
