package e2e

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
	"github.com/bulkhead-dev/bulkhead/test/node"
)

// secondVersion is what an upgrade goes to.
const secondVersion = "0.0.0-second"

// loadStage has a class that provisions for Pods alone, so that claims cost nothing
// after they are made, and a claim to clone.
const loadStage = `
apiVersion: v1
kind: Namespace
metadata: {name: load}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: load}
provisioner: ` + cluster.DriverName + `
parameters: {repl: "1"}
volumeBindingMode: WaitForFirstConsumer
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: source, namespace: load}
spec:
  storageClassName: load
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
`

func testRolling(t *testing.T) {
	// Made first, as it takes the machine's attention.
	if err := stage.node.Build(t.Context(), node.Image{Name: image + ":" + secondVersion, Packages: "./cmd/...", Version: secondVersion}); err != nil {
		t.Fatal(err)
	}
	apply(t, loadStage)
	stop := startLoad(t)
	for _, pod := range webhooks(t.Context(), t) {
		if err := stage.compute.Client.CoreV1().Pods(namespace).Delete(t.Context(), pod, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		waitReplaced(t, pod)
	}
	if err := stage.install(t.Context(), map[string]any{"image": map[string]any{"tag": secondVersion}}); err != nil {
		t.Error(err)
	}
	changeValues(t)
	made, failures := stop()
	t.Logf("%d claims made", made)
	const perSecond, least = 20, 20 // seconds
	if made < perSecond*least {
		t.Errorf("%d claims are too few to show anything", made)
	}
	for i, err := range failures {
		if i == 5 {
			t.Errorf("… and %d more", len(failures)-i)
			break
		}
		t.Error(err)
	}
	pods, err := stage.compute.Client.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{FieldSelector: "status.phase=Running"})
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods.Items {
		if pod.DeletionTimestamp == nil && pod.Spec.Containers[0].Image != image+":"+secondVersion {
			t.Errorf("Pod %s has image %s", pod.Name, pod.Spec.Containers[0].Image)
		}
	}
}

// startLoad makes twenty claims a second, every other one a clone, which the first
// layer leaves to the webhook, until stop, which returns what went wrong.
func startLoad(t *testing.T) (stop func() (made int, failures []error)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	var made int
	var failures []error
	var makers sync.WaitGroup
	makers.Go(func() {
		ticker := time.NewTicker(time.Second / 20)
		defer ticker.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			makers.Go(func() {
				began := time.Now()
				// A call that has begun is seen through.
				err := makeLoadClaim(context.WithoutCancel(ctx), i)
				mu.Lock()
				defer mu.Unlock()
				made++
				if err != nil {
					failures = append(failures, fmt.Errorf("at %s, after %v: %w", began.Format(time.TimeOnly), time.Since(began).Round(time.Millisecond), err))
				}
			})
		}
	})
	return func() (int, []error) {
		cancel()
		makers.Wait()
		return made, failures
	}
}

func makeLoadClaim(ctx context.Context, i int) error {
	class := "load"
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("claim-%d", i), Namespace: "load"},
		Spec: corev1.PersistentVolumeClaimSpec{
			StorageClassName: &class, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}
	if i%2 == 1 {
		claim.Spec.DataSourceRef = &corev1.TypedObjectReference{Kind: "PersistentVolumeClaim", Name: "source"}
	}
	_, err := stage.compute.Client.CoreV1().PersistentVolumeClaims("load").Create(ctx, claim, metav1.CreateOptions{})
	return err
}

// webhooks are the names of the webhook's Pods, also of those that end and serve
// until then.
func webhooks(ctx context.Context, t *testing.T) []string {
	t.Helper()
	pods, err := stage.compute.Client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=webhook"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, pod := range pods.Items {
		names = append(names, pod.Name)
	}
	return names
}

// waitReplaced waits until a Pod of the webhook is gone and as many as before are
// ready.
func waitReplaced(t *testing.T, pod string) {
	t.Helper()
	err := cluster.Poll(t.Context(), podTimeout, func(ctx context.Context) error {
		if _, err := stage.compute.Client.CoreV1().Pods(namespace).Get(ctx, pod, metav1.GetOptions{}); err == nil {
			return errors.New("it is still there")
		}
		return webhookReady(ctx, 2)
	})
	if err != nil {
		t.Fatalf("Pod %s: %v", pod, err)
	}
}

// webhookReady is whether so many replicas are wanted, there and ready.
func webhookReady(ctx context.Context, replicas int32) error {
	deployment, err := stage.compute.Client.AppsV1().Deployments(namespace).Get(ctx, "bulkhead-webhook", metav1.GetOptions{})
	if err != nil {
		return err
	}
	if s := deployment.Status; s.Replicas != replicas || s.ReadyReplicas != replicas || s.ObservedGeneration != deployment.Generation {
		return fmt.Errorf("%d of %d replicas are ready, want %d", s.ReadyReplicas, s.Replicas, replicas)
	}
	return nil
}
