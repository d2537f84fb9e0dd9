package e2e

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	corev1 "k8s.io/api/core/v1"
)

// readyWithin is what an install may take.
const readyWithin = time.Minute

func testReady(t *testing.T) {
	t.Logf("ready after %v", stage.ready.Round(time.Second))
	if stage.ready > readyWithin {
		t.Errorf("it took %v", stage.ready)
	}
}

func testNoRestart(t *testing.T) {
	t.Helper()
	for namespace, want := range map[string]int{issuerNamespace: 2, namespace: 4} {
		pods, err := stage.compute.Client.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		running := 0
		for _, pod := range pods.Items {
			if pod.Status.Phase == corev1.PodSucceeded {
				continue // of a hook
			}
			running++
			for _, container := range pod.Status.ContainerStatuses {
				if !container.Ready || container.RestartCount > 0 {
					t.Errorf("container %s of Pod %s/%s: ready %v, %d restarts", container.Name, namespace, pod.Name, container.Ready, container.RestartCount)
				}
			}
		}
		if running != want {
			t.Errorf("%d Pods in %s, want %d", running, namespace, want)
		}
	}
}
