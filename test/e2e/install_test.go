package e2e

import (
	"strings"
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

// testHelmTest runs the charts' own tests, with the rights that they have.
func testHelmTest(t *testing.T) {
	for release, c := range map[string]struct {
		namespace string
		tests     []string
	}{
		"bulkhead":        {namespace, []string{"bulkhead-test-sidecar", "bulkhead-test-webhook"}},
		"bulkhead-issuer": {issuerNamespace, []string{"bulkhead-issuer-test"}},
	} {
		out, err := stage.run(t.Context(), stage.binaries.Helm, "test", release,
			"--kubeconfig", stage.compute.Kubeconfig, "--namespace", c.namespace, "--timeout", "5m")
		if err != nil {
			t.Error(err)
			continue
		}
		for _, test := range c.tests {
			_, after, found := strings.Cut(string(out), test+"\n")
			if phase, _, _ := strings.Cut(after, "\n\n"); !found || !strings.Contains(phase, "Succeeded") {
				t.Errorf("%s did not succeed:\n%s", test, out)
			}
		}
	}
	// What a test was allowed, it is allowed no more.
	roles, err := stage.compute.Client.RbacV1().Roles(metav1.NamespaceDefault).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range roles.Items {
		if strings.HasPrefix(role.Name, "bulkhead-test") {
			t.Errorf("Role %s is left", role.Name)
		}
	}
}
