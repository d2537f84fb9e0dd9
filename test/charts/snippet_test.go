package charts

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// What docs/sidecar.md tells people to add to the driver's Pod is what the chart's
// own Deployment has.
func TestTheDocumentedContainerIsThatOfTheChart(t *testing.T) {
	_, section, found := strings.Cut(string(read(t, "docs/sidecar.md")), "\n## In the driver's own Pod\n")
	if !found {
		t.Fatal("docs/sidecar.md lacks the section")
	}
	blocks := strings.Split(section, "```yaml\n")
	if len(blocks) < 3 {
		t.Fatal("the section lacks its snippets")
	}
	text, _, _ := strings.Cut(blocks[2], "```")
	var documented corev1.PodTemplateSpec
	if err := yaml.UnmarshalStrict([]byte(text), &documented); err != nil {
		t.Fatal(err)
	}

	rendered, err := template(t.Context(), "bulkhead", newestVersion, "--set",
		"issuer.url=https://issuer.storage.example,storage.cluster=px-main,storage.sdk.address=sdk.example:9020", "--namespace", installed)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := parse(rendered)
	if err != nil {
		t.Fatal(err)
	}
	want := as[appsv1.Deployment](t, find(objects, "Deployment", "bulkhead-sidecar")).Spec.Template.Spec
	if !reflect.DeepEqual(documented.Spec.Containers, want.Containers) {
		t.Errorf("documented:\n%s\nthe chart's:\n%s", asYAML(t, documented.Spec.Containers), asYAML(t, want.Containers))
	}
	volumes := slices.DeleteFunc(want.Volumes, func(v corev1.Volume) bool { return v.Name == "csi-socket" })
	if !reflect.DeepEqual(documented.Spec.Volumes, volumes) {
		t.Errorf("documented:\n%s\nthe chart's:\n%s", asYAML(t, documented.Spec.Volumes), asYAML(t, volumes))
	}
}

func asYAML(t *testing.T, v any) []byte {
	t.Helper()
	raw, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// In the driver's Pod, the driver's account has what the sidecar's would have.
func TestRightsMoveToTheDriversAccount(t *testing.T) {
	sets := valueSets(t, "bulkhead")
	const own, drivers = "charts/bulkhead-sidecar", "portworx/px-csi"
	for set, want := range map[string]string{"plain": own, "in-the-drivers-pod": drivers} {
		bound := 0
		objects := objectsOf(t, "bulkhead", newestVersion, sets[set])
		for _, object := range objects {
			if !strings.HasSuffix(object.GetKind(), "Binding") || object.GetName() != "bulkhead-sidecar" {
				continue
			}
			subjects, _ := object.Object["subjects"].([]any)
			if len(subjects) != 1 {
				t.Fatalf("%s: %d subjects", describe(object), len(subjects))
			}
			subject := subjects[0].(map[string]any)
			if got := subject["namespace"].(string) + "/" + subject["name"].(string); got != want {
				t.Errorf("%s of %s: %s, want %s", describe(object), set, got, want)
			}
			bound++
		}
		if bound != 3 {
			t.Errorf("%s: %d bindings, want 3", set, bound)
		}
		webhook := as[appsv1.Deployment](t, find(objects, "Deployment", "bulkhead-webhook"))
		if flag := "--sidecar-service-account=" + want; !slices.Contains(webhook.Spec.Template.Spec.Containers[0].Args, flag) {
			t.Errorf("%s: the webhook lacks %s", set, flag)
		}
		if deployed := find(objects, "Deployment", "bulkhead-sidecar") != nil; deployed != (want == own) {
			t.Errorf("%s: a Deployment of the sidecar: %v", set, deployed)
		}
	}
}
