package charts

import (
	"context"
	"crypto/sha256"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// makeNamespaces makes those that what is rendered here lies in, and returns when
// its Pods could start: each has its ServiceAccounts.
func makeNamespaces(t *testing.T, labels map[string]string, names ...string) {
	t.Helper()
	client := admin().Compute.Client.CoreV1().Namespaces()
	for _, name := range names {
		_, err := client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
}

// makeAccounts makes the ServiceAccounts that Pods are to have.
func makeAccounts(t *testing.T, namespace string, objects []*unstructured.Unstructured) {
	t.Helper()
	client := admin().Compute.Client.CoreV1().ServiceAccounts(namespace)
	for _, object := range objects {
		if object.GetKind() != "ServiceAccount" {
			continue
		}
		_, err := client.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: object.GetName()}}, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
}

// dryRun shows the API server an object, as if it was applied. Unknown fields are
// errors. Webhook configurations get another name: those of the stage say in another
// way where the webhook is, and the two would be merged.
func dryRun(ctx context.Context, object *unstructured.Unstructured) error {
	kind := object.GroupVersionKind()
	mapping, err := kinds.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return err
	}
	var client dynamic.ResourceInterface = api.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		client = api.Resource(mapping.Resource).Namespace(object.GetNamespace())
	}
	if strings.HasSuffix(object.GetKind(), "WebhookConfiguration") {
		object = object.DeepCopy()
		object.SetName(object.GetName() + "-dry-run")
	}
	raw, err := object.MarshalJSON()
	if err != nil {
		return err
	}
	force := true
	_, err = client.Patch(ctx, object.GetName(), applyPatch, raw, metav1.PatchOptions{
		DryRun: []string{metav1.DryRunAll}, FieldManager: "chart-test", Force: &force, FieldValidation: metav1.FieldValidationStrict,
	})
	return err
}

func TestARealAPIServerTakesEveryObject(t *testing.T) {
	makeNamespaces(t, nil, namespace, tokenNamespace)
	waitForKinds(t)
	forEachSet(t, func(t trial) {
		seen := map[[sha256.Size]byte]bool{}
		for _, version := range versions() {
			objects := objectsOf(t.T, t.chart, version, t.values)
			makeAccounts(t.T, namespace, objects)
			for _, object := range objects {
				raw, err := object.MarshalJSON()
				if err != nil {
					t.Fatal(err)
				}
				// Most are the same for every version.
				sum := sha256.Sum256(raw)
				if seen[sum] {
					continue
				}
				seen[sum] = true
				if object.GetNamespace() == "" && namespaced(t.T, object) {
					t.Errorf("%s for %s: it names no namespace", describe(object), version)
				}
				if err := dryRun(t.Context(), object); err != nil {
					t.Errorf("%s for %s: %v", describe(object), version, err)
				}
			}
		}
	})
	t.Run("and no unknown field", func(t *testing.T) {
		for _, object := range objectsOf(t, "bulkhead", newestVersion, valueSets(t, "bulkhead")["everything"]) {
			if object.Object["spec"] == nil || object.GetKind() == "Namespace" {
				continue
			}
			if err := unstructured.SetNestedField(object.Object, "x", "spec", "bulkheadUnknown"); err != nil {
				t.Fatal(err)
			}
			if err := dryRun(t.Context(), object); err == nil || !strings.Contains(err.Error(), "bulkheadUnknown") {
				t.Errorf("%s: %v", describe(object), err)
			}
		}
	})
}

func namespaced(t *testing.T, object *unstructured.Unstructured) bool {
	t.Helper()
	kind := object.GroupVersionKind()
	mapping, err := kinds.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		t.Fatal(err)
	}
	return mapping.Scope.Name() == meta.RESTScopeNameNamespace
}

// waitForKinds returns once the kinds of the operators are served.
func waitForKinds(t *testing.T) {
	t.Helper()
	err := cluster.Poll(t.Context(), time.Minute, func(ctx context.Context) error {
		kinds.Reset()
		for _, resource := range []string{"servicemonitors.monitoring.coreos.com", "prometheusrules.monitoring.coreos.com", "certificates.cert-manager.io", "issuers.cert-manager.io"} {
			plural, group, _ := strings.Cut(resource, ".")
			if _, err := api.Resource(metaResource(group, plural)).List(ctx, metav1.ListOptions{}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Every Pod satisfies the level "restricted" of the Pod Security Standards. The one
// exception is the sidecar that proves tokens on the driver's socket: that
// belongs to root and lies on the node.
func TestPodsAreRestricted(t *testing.T) {
	const restricted = "charts-restricted"
	makeNamespaces(t, map[string]string{"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "latest"}, restricted)
	looked := 0
	forEachSet(t, func(t trial) {
		objects := objectsOf(t.T, t.chart, newestVersion, t.values)
		makeAccounts(t.T, restricted, objects)
		for maker, pod := range podsOf(t.T, objects) {
			pod.GenerateName, pod.Name, pod.Namespace = "pod-", "", restricted
			_, err := admin().Compute.Client.CoreV1().Pods(restricted).Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			looked++
			if t.chart == "bulkhead" && maker == "Deployment bulkhead-sidecar" && t.set != "tenant" {
				wantOnlyTheSocket(t.T, err)
			} else if err != nil {
				t.Errorf("%s: %v", maker, err)
			}
			wantBounded(t.T, maker, pod)
		}
	})
	if looked < 20 {
		t.Errorf("%d Pods were looked at", looked)
	}
}

// wantOnlyTheSocket wants a refusal for the hostPath and uid 0, and for nothing
// else.
func wantOnlyTheSocket(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Error("a sidecar with a hostPath is let through")
		return
	}
	_, list, found := strings.Cut(err.Error(), `violates PodSecurity "restricted:latest": `)
	if !found {
		t.Errorf("the sidecar is refused for another reason: %v", err)
		return
	}
	want := []string{
		`restricted volume types (volume "csi-socket" uses restricted volume type "hostPath")`,
		`runAsNonRoot != true (pod or container "sidecar" must set securityContext.runAsNonRoot=true)`,
		`runAsUser=0 (pod must not set runAsUser=0)`,
	}
	if got := strings.Split(list, ", "); !slices.Equal(got, want) {
		t.Errorf("the sidecar is refused for\n%q, want\n%q", got, want)
	}
}

// wantBounded wants what the standard does not ask for.
func wantBounded(t *testing.T, maker string, pod *corev1.Pod) {
	t.Helper()
	for _, c := range pod.Spec.Containers {
		if c.SecurityContext == nil || c.SecurityContext.ReadOnlyRootFilesystem == nil || !*c.SecurityContext.ReadOnlyRootFilesystem {
			t.Errorf("%s: the root of container %s can be written", maker, c.Name)
		}
		for _, mount := range c.VolumeMounts {
			if !mount.ReadOnly {
				t.Errorf("%s: mount %s of container %s can be written", maker, mount.Name, c.Name)
			}
		}
	}
	if pod.Spec.AutomountServiceAccountToken == nil {
		t.Errorf("%s: it does not say whether it needs the API", maker)
	}
}

func TestNoPodRunsInTheTokenNamespace(t *testing.T) {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "thief-", Namespace: admin().Layout.TokenNamespace},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken: new(false),
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: new(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{Name: "c", Image: "i", SecurityContext: &corev1.SecurityContext{
				AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			}}},
		},
	}
	client := admin().Compute.Client.CoreV1().Pods(pod.Namespace)
	if _, err := client.Create(t.Context(), pod, metav1.CreateOptions{}); err == nil || !strings.Contains(err.Error(), "exceeded quota: bulkhead-no-pods") {
		t.Errorf("a cluster admin's Pod: %v", err)
	}
}

const applyPatch = types.ApplyPatchType

func metaResource(group, plural string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: group, Version: "v1", Resource: plural}
}
