package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

const (
	releaseName      = "bulkhead"
	releaseNamespace = "bulkhead-system"
)

// release is the chart, rendered for one compute cluster.
type release struct {
	// objects are all that can be applied where there is no kubelet, webhook
	// configurations last: they are in force at once.
	objects []*unstructured.Unstructured
	// arguments of the container of each Deployment, by the Deployment's name.
	arguments map[string][]string
	// configurations are the webhook configurations among objects.
	configurations []*unstructured.Unstructured
	// hooks are the objects that belong to one moment of the release, such as its
	// end.
	hooks []*unstructured.Unstructured
}

// hookAnnotation is Helm's, on what is applied at that moment alone.
const hookAnnotation = "helm.sh/hook"

// layout reads off the sidecar's flags where the token Secrets lie.
func (r *release) layout() tenancy.Layout {
	var layout tenancy.Layout
	for _, arg := range r.arguments[sidecarName] {
		switch flag, value, _ := strings.Cut(arg, "="); flag {
		case "--placement":
			layout.Placement = tenancy.Placement(value)
		case "--token-namespace":
			layout.TokenNamespace = value
		case "--token-secret-template":
			layout.Template = value
		}
	}
	return layout
}

// highestLogLevel is the most that the chart allows.
const highestLogLevel = 7

// renderChart renders charts/bulkhead with values for this environment, and more
// of them, in YAML, laid over those.
func (e *Environment) renderChart(ctx context.Context, c *Compute, more string) (*release, error) {
	ca, err := os.ReadFile(e.Storage.IssuerCAFile)
	if err != nil {
		return nil, fmt.Errorf("render the chart: %w", err)
	}
	values, err := yaml.Marshal(map[string]any{
		"issuer": map[string]any{"url": e.Storage.IssuerURL, "caBundle": string(ca)},
		"storage": map[string]any{
			"cluster": e.Storage.ID,
			"sdk":     map[string]any{"address": e.Storage.SDKAddress, "tls": false},
		},
		"provisioner": map[string]any{"serviceAccounts": []string{csiAccount}},
		// All that can be logged is, so that a test can look for what must not be.
		"sidecar": map[string]any{"logLevel": highestLogLevel},
		"webhook": map[string]any{"logLevel": highestLogLevel},
	})
	if err != nil {
		return nil, fmt.Errorf("render the chart: %w", err)
	}
	file, err := c.dir.write("values.yaml", values)
	if err != nil {
		return nil, err
	}
	over, err := c.dir.write("values-over.yaml", []byte(more))
	if err != nil {
		return nil, err
	}
	rendered, err := e.supervisor.run(ctx, e.cfg.Binaries.Helm, "template", releaseName,
		filepath.Join(e.cfg.Binaries.Root, "charts/bulkhead"),
		"--namespace", releaseNamespace, "--include-crds", "--values", file, "--values", over,
		// What helm would ask a cluster.
		"--kube-version", c.Version,
		"--api-versions", "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy",
		"--api-versions", "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy")
	if err != nil {
		return nil, fmt.Errorf("render the chart: %w", err)
	}
	if _, err := c.dir.write("chart.yaml", rendered); err != nil {
		return nil, err
	}
	return parseRelease(rendered)
}

func parseRelease(rendered []byte) (*release, error) {
	objects, err := parseManifests(rendered)
	if err != nil {
		return nil, fmt.Errorf("rendered chart: %w", err)
	}
	r := &release{arguments: map[string][]string{}}
	for _, object := range objects {
		kind := object.GroupVersionKind()
		switch {
		case object.GetAnnotations()[hookAnnotation] != "":
			r.hooks = append(r.hooks, object)
		case kind.Kind == "Deployment":
			if err := r.readDeployment(object); err != nil {
				return nil, fmt.Errorf("rendered chart: Deployment %s: %w", object.GetName(), err)
			}
		case strings.HasSuffix(kind.Kind, "WebhookConfiguration"):
			r.configurations = append(r.configurations, object)
		case kind.Group == "monitoring.coreos.com" || kind.Group == "cert-manager.io":
			// Kinds of operators that are not installed here.
		default:
			r.objects = append(r.objects, object)
		}
	}
	r.objects = append(r.objects, r.configurations...)
	return r, nil
}

// readDeployment takes the arguments that the kubelet would give the container.
func (r *release) readDeployment(object *unstructured.Unstructured) (err error) {
	var deployment appsv1.Deployment
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &deployment); err != nil {
		return fmt.Errorf("read it: %w", err)
	}
	r.arguments[deployment.Name], err = argumentsOf(deployment.Name, deployment.Spec.Template.Spec.Containers)
	return err
}

// argumentsOf are the arguments of the one container of a workload.
func argumentsOf(workload string, containers []corev1.Container) ([]string, error) {
	if len(containers) != 1 {
		return nil, fmt.Errorf("it has %d containers, want 1", len(containers))
	}
	expand := []string{"$$", "$"}
	for _, variable := range containers[0].Env {
		value := variable.Value
		if from := variable.ValueFrom; from != nil {
			switch {
			case from.FieldRef != nil && from.FieldRef.FieldPath == "metadata.namespace":
				value = releaseNamespace
			case from.FieldRef != nil && from.FieldRef.FieldPath == "metadata.name":
				value = workload
			default:
				return nil, fmt.Errorf("variable %s comes from what only a kubelet knows", variable.Name)
			}
		}
		expand = append(expand, "$("+variable.Name+")", value)
	}
	replacer := strings.NewReplacer(expand...)
	var args []string
	for _, arg := range append(slices.Clone(containers[0].Command), containers[0].Args...) {
		args = append(args, replacer.Replace(arg))
	}
	if len(containers[0].Command) > 0 {
		// The program itself: here it is another path.
		args = args[1:]
	}
	return args, nil
}

// useURL points every webhook to a process on loopback, since no Service works
// without nodes.
func (r *release) useURL(address string) error {
	if len(r.configurations) == 0 {
		return errors.New("rendered chart: no webhook configuration")
	}
	for _, configuration := range r.configurations {
		webhooks, _, err := unstructured.NestedSlice(configuration.Object, "webhooks")
		if err != nil {
			return fmt.Errorf("rendered chart: %s: %w", configuration.GetName(), err)
		}
		for _, entry := range webhooks {
			webhook, ok := entry.(map[string]any)
			if !ok {
				return fmt.Errorf("rendered chart: %s: a webhook is no object", configuration.GetName())
			}
			path, found, err := unstructured.NestedString(webhook, "clientConfig", "service", "path")
			if err != nil || !found {
				return fmt.Errorf("rendered chart: webhook %v has no service path (%w)", webhook["name"], err)
			}
			unstructured.RemoveNestedField(webhook, "clientConfig", "service")
			if err := unstructured.SetNestedField(webhook, "https://"+address+path, "clientConfig", "url"); err != nil {
				return fmt.Errorf("rendered chart: webhook %v: %w", webhook["name"], err)
			}
		}
		if err := unstructured.SetNestedSlice(configuration.Object, webhooks, "webhooks"); err != nil {
			return fmt.Errorf("rendered chart: %s: %w", configuration.GetName(), err)
		}
	}
	return nil
}
