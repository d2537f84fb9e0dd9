package cluster

import (
	"context"
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

const (
	// resourcePolicy is Helm's annotation on what stays after an uninstall.
	resourcePolicy = "helm.sh/resource-policy"
	afterDelete    = "post-delete"
)

// Uninstall is a `helm uninstall` of what InstallAs installed with these values.
// It ends the processes, as no kubelet would, deletes the chart's objects, and
// runs the Jobs that the chart has for that moment, whose output it returns.
func (e *Environment) Uninstall(ctx context.Context, c *Compute, how Installation) (output string, err error) {
	r, err := e.renderChart(ctx, c, how.Values)
	if err != nil {
		return "", fmt.Errorf("uninstall in %s: %w", c.Name, err)
	}
	for _, p := range slices.Concat(c.Webhooks, c.Sidecars) {
		p.Stop()
		e.supervisor.forget(p)
	}
	objects := slices.DeleteFunc(slices.Clone(r.objects), func(o *unstructured.Unstructured) bool {
		return o.GetAnnotations()[resourcePolicy] == "keep"
	})
	slices.Reverse(objects) // webhook configurations first: nobody serves them
	if err := c.deleteObjects(ctx, objects); err != nil {
		return "", fmt.Errorf("uninstall: %w", err)
	}
	if output, err = e.runHooks(ctx, c, r, afterDelete); err != nil {
		return output, fmt.Errorf("uninstall in %s: %w", c.Name, err)
	}
	return output, nil
}

// runHooks applies what the chart has for one moment, runs its Jobs' containers
// to their end and deletes it again.
func (e *Environment) runHooks(ctx context.Context, c *Compute, r *release, moment string) (output string, err error) {
	var jobs, others []*unstructured.Unstructured
	for _, hook := range r.hooks {
		switch {
		case hook.GetAnnotations()[hookAnnotation] != moment:
		case hook.GetKind() == "Job":
			jobs = append(jobs, hook)
		default:
			others = append(others, hook)
		}
	}
	if err := c.applyObjects(ctx, others); err != nil {
		return "", err
	}
	for _, object := range jobs {
		var job batchv1.Job
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &job); err != nil {
			return output, fmt.Errorf("hook %s: %w", object.GetName(), err)
		}
		args, err := argumentsOf(job.Name, job.Spec.Template.Spec.Containers)
		if err != nil {
			return output, fmt.Errorf("hook %s: %w", job.Name, err)
		}
		kubeconfig, err := c.serviceAccountKubeconfig(ctx, job.Namespace+"/"+job.Spec.Template.Spec.ServiceAccountName)
		if err != nil {
			return output, err
		}
		said, err := e.supervisor.run(ctx, e.cfg.Binaries.Sidecar, append(args, "--kubeconfig="+kubeconfig)...)
		output += string(said)
		if err != nil {
			return output, fmt.Errorf("hook %s: %w", job.Name, err)
		}
	}
	return output, c.deleteObjects(ctx, others)
}
