package e2e

import (
	"context"
	"errors"
	"strings"
	"testing"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// Manifests that are refused while no replica of the webhook answers.
const (
	aClone = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: clone, namespace: team-csi}
spec:
  storageClassName: team-csi
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
  dataSourceRef: {kind: PersistentVolumeClaim, name: data}
`
	aVolume = `
apiVersion: v1
kind: PersistentVolume
metadata: {name: static}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  csi: {driver: ` + cluster.DriverName + `, volumeHandle: somebodys}
`
	aClass = `
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: another}
provisioner: ` + cluster.DriverName + `
parameters: {repl: "1"}
`
	aSnapshotByHandle = `
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshotContent
metadata: {name: static}
spec:
  driver: ` + cluster.DriverName + `
  deletionPolicy: Retain
  source: {snapshotHandle: somebodys}
  volumeSnapshotRef: {name: stolen, namespace: team-csi}
`
)

// Manifests that are not: a plain claim of ours, and of another driver.
const (
	aPlainClaim = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: plain, namespace: team-csi}
spec:
  storageClassName: team-csi
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
`
	othersClaim = `
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: other}
provisioner: other.example
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: other, namespace: team-csi}
spec:
  storageClassName: other
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
`
)

// othersVolume is what the other driver's provisioner makes for its claim.
const othersVolume = `
apiVersion: v1
kind: PersistentVolume
metadata: {name: other, annotations: {pv.kubernetes.io/provisioned-by: other.example}}
spec:
  storageClassName: other
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  claimRef: {apiVersion: v1, kind: PersistentVolumeClaim, namespace: team-csi, name: other}
  csi: {driver: other.example, volumeHandle: other}
`

func testAbsence(t *testing.T) {
	client := stage.compute.Client
	scale(t, 0)

	for name, manifest := range map[string]string{
		"a claim with a reference": aClone, "a static volume": aVolume,
		"a new class": aClass, "a snapshot by handle": aSnapshotByHandle,
	} {
		t.Run(name+" is refused", func(t *testing.T) {
			err := stage.compute.Apply(t.Context(), []byte(manifest))
			if err == nil || !strings.Contains(err.Error(), "bulkhead") {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("a plain claim is provisioned with its token", func(t *testing.T) {
		apply(t, aPlainClaim)
		waitBound(t, "team-csi", "plain")
	})
	t.Run("another driver's claim gets its volume", func(t *testing.T) {
		apply(t, othersClaim)
		apply(t, othersVolume)
		waitBound(t, "team-csi", "other")
	})
	t.Run("a namespace with a bound claim and its Pod goes", func(t *testing.T) {
		if err := client.CoreV1().Namespaces().Delete(t.Context(), "team-in-tree", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		err := cluster.Poll(t.Context(), podTimeout, func(ctx context.Context) error {
			_, err := client.CoreV1().Namespaces().Get(ctx, "team-in-tree", metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return nil
			}
			return errors.Join(errors.New("it is still there"), err)
		})
		if err != nil {
			t.Error(err)
		}
	})

	scale(t, 2)
	t.Run("back again it takes what it refused", func(t *testing.T) {
		apply(t, aClass) // in a while: kube-proxy learns late of the new replicas
		apply(t, aClone)
	})
	t.Run("and refuses another's volume still", func(t *testing.T) {
		if err := stage.compute.Apply(t.Context(), []byte(aVolume)); err == nil || !strings.Contains(err.Error(), "BH-") {
			t.Errorf("got %v, want a rule's id", err)
		}
	})
}

// waitBound waits until a claim has its volume.
func waitBound(t *testing.T, namespace, name string) {
	t.Helper()
	err := cluster.Poll(t.Context(), podTimeout, func(ctx context.Context) error {
		claim, err := stage.compute.Client.CoreV1().PersistentVolumeClaims(namespace).Get(ctx, name, metav1.GetOptions{})
		if err == nil && claim.Status.Phase != corev1.ClaimBound {
			err = errors.New("it is " + string(claim.Status.Phase))
		}
		return err
	})
	if err != nil {
		t.Errorf("claim %s/%s: %v%s", namespace, name, err, events(t, namespace))
	}
}

// scale changes the number of the webhook's replicas and waits until it is so.
func scale(t *testing.T, replicas int32) {
	t.Helper()
	_, err := stage.compute.Client.AppsV1().Deployments(namespace).UpdateScale(t.Context(), "bulkhead-webhook", &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Name: "bulkhead-webhook", Namespace: namespace},
		Spec:       autoscalingv1.ScaleSpec{Replicas: replicas},
	}, metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	err = cluster.Poll(t.Context(), podTimeout, func(ctx context.Context) error {
		if left := webhooks(ctx, t); len(left) != int(replicas) {
			return errors.New("replicas are there: " + strings.Join(left, ", "))
		}
		return webhookReady(ctx, replicas)
	})
	if err != nil {
		t.Fatal(err)
	}
}
