package charts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
)

const (
	// namespace and tokenNamespace are those of what is rendered here; the stage
	// has another install.
	namespace      = "charts"
	tokenNamespace = "charts-tokens"

	oldestVersion = "1.30.0"
	newestVersion = "1.37.0"
	// mutatingVersion is the first that has MutatingAdmissionPolicies.
	mutatingVersion = "1.36.0"
)

func charts() []string { return []string{"bulkhead", "bulkhead-issuer"} }

// versions are of Kubernetes, in their order.
func versions() []string {
	return []string{oldestVersion, "1.31.0", "1.32.0", "1.33.0", "1.34.0", "1.35.0", mutatingVersion, newestVersion}
}

func chartFolder(chart string) string { return filepath.Join(binaries.Root, "charts", chart) }

// valueSets are the files with values for a chart, by their names.
func valueSets(t *testing.T, chart string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata/values", chart, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no values for %s: %v", chart, err)
	}
	sets := map[string]string{}
	for _, file := range files {
		sets[strings.TrimSuffix(filepath.Base(file), ".yaml")] = file
	}
	return sets
}

// template renders a chart for a version of Kubernetes, with further arguments of
// helm.
func template(ctx context.Context, chart, version string, args ...string) ([]byte, error) {
	args = append([]string{
		"template", chart, chartFolder(chart), "--namespace", namespace, "--kube-version", version,
		"--api-versions", "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy",
	}, args...)
	if !before(version, mutatingVersion) {
		args = append(args, "--api-versions", "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy")
	}
	return run(ctx, "test/charts", nil, binaries.Helm, args...)
}

// before compares versions of which only the minor differs, with two digits.
func before(a, b string) bool { return a < b }

// objectsOf renders a set of values.
func objectsOf(t *testing.T, chart, version, values string) []*unstructured.Unstructured {
	t.Helper()
	rendered, err := template(t.Context(), chart, version, "--values", values)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := parse(rendered)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func parse(rendered []byte) (objects []*unstructured.Unstructured, err error) {
	const lookahead = 4096
	for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(rendered), lookahead); ; {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

// trial is a test of a chart with a set of values.
type trial struct {
	*testing.T

	chart, set string
	// values is the file of the set.
	values string
}

// forEachSet runs a test for each chart and set of values.
func forEachSet(t *testing.T, test func(trial)) {
	t.Helper()
	for _, chart := range charts() {
		for set, values := range valueSets(t, chart) {
			t.Run(chart+" "+set, func(t *testing.T) { test(trial{t, chart, set, values}) })
		}
	}
}

// as reads an object as one of a type of Go.
func as[T any](t *testing.T, object *unstructured.Unstructured) *T {
	t.Helper()
	into := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, into, true); err != nil {
		t.Fatalf("%s %s: %v", object.GetKind(), object.GetName(), err)
	}
	return into
}

// find is the object of a kind and name.
func find(objects []*unstructured.Unstructured, kind, name string) *unstructured.Unstructured {
	for _, object := range objects {
		if object.GetKind() == kind && object.GetName() == name {
			return object
		}
	}
	return nil
}

// podsOf are the Pods that objects lead to, by what makes them.
func podsOf(t *testing.T, objects []*unstructured.Unstructured) map[string]*corev1.Pod {
	t.Helper()
	pods := map[string]*corev1.Pod{}
	for _, object := range objects {
		var template corev1.PodTemplateSpec
		switch object.GetKind() {
		case "Deployment":
			template = as[appsv1.Deployment](t, object).Spec.Template
		case "Job":
			template = as[batchv1.Job](t, object).Spec.Template
		case "Pod":
			pod := as[corev1.Pod](t, object)
			template = corev1.PodTemplateSpec{ObjectMeta: pod.ObjectMeta, Spec: pod.Spec}
		case "DaemonSet", "StatefulSet", "CronJob", "ReplicaSet":
			t.Fatalf("%s %s: its Pods are not looked at", object.GetKind(), object.GetName())
		default:
			continue
		}
		pods[object.GetKind()+" "+object.GetName()] = &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
	}
	return pods
}

func TestOldKubernetesKnowsEveryField(t *testing.T) {
	forEachSet(t, func(t trial) {
		rendered, err := template(t.Context(), t.chart, oldestVersion, "--values", t.values)
		if err != nil {
			t.Fatal(err)
		}
		if err := oldest(t.Context(), rendered); err != nil {
			t.Error(err)
		}
	})
	// The check itself.
	newer := "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {hostnameOverride: x}\n"
	if err := oldest(t.Context(), []byte(newer)); err == nil || !strings.Contains(err.Error(), "hostnameOverride") {
		t.Errorf("a field of a newer Kubernetes: %v", err)
	}
}

func TestTheFirstLayerIsThereWhereItIsServed(t *testing.T) {
	sets := valueSets(t, "bulkhead")
	for _, version := range versions() {
		for set, values := range map[string]string{"plain": sets["plain"], "bare": sets["bare"]} {
			objects := objectsOf(t, "bulkhead", version, values)
			mutating := find(objects, "MutatingAdmissionPolicy", "bulkhead-claims") != nil
			validating := find(objects, "ValidatingAdmissionPolicy", "bulkhead-claims") != nil
			if want := set == "plain" && !before(version, mutatingVersion); mutating != want {
				t.Errorf("%s, %s: policies that mutate %v, want %v", version, set, mutating, want)
			}
			if want := set == "plain"; validating != want {
				t.Errorf("%s, %s: policies that refuse %v, want %v", version, set, validating, want)
			}
		}
	}
}

func TestAKubernetesThatIsTooOldIsRefused(t *testing.T) {
	for _, chart := range charts() {
		_, err := template(t.Context(), chart, "1.29.9", "--values", valueSets(t, chart)["plain"])
		if err == nil || !strings.Contains(err.Error(), "kubeVersion") {
			t.Errorf("%s: %v", chart, err)
		}
	}
}

// NOTES.txt says what to check next. It is printed by an install alone, so that
// template does not know it.
func TestNotesSayWhatToCheckNext(t *testing.T) {
	forEachSet(t, func(t trial) {
		out, err := run(t.Context(), "test/charts", nil, binaries.Helm, "install", t.chart, chartFolder(t.chart), "--dry-run=server",
			"--kubeconfig", admin().Compute.Kubeconfig, "--namespace", namespace, "--values", t.values, "--take-ownership")
		if err != nil {
			t.Fatal(err)
		}
		_, notes, found := strings.Cut(string(out), "NOTES:\n")
		if !found {
			t.Fatal("there are no notes")
		}
		for _, want := range []string{"Check next:", "helm test " + t.chart + " --namespace " + namespace} {
			if !strings.Contains(notes, want) {
				t.Errorf("the notes lack %q:\n%s", want, notes)
			}
		}
	})
}

func read(t *testing.T, path ...string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(append([]string{binaries.Root}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func describe(object *unstructured.Unstructured) string {
	return fmt.Sprintf("%s %s/%s", object.GetKind(), object.GetNamespace(), object.GetName())
}
