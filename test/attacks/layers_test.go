package attacks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/actors"
)

// layers are what stands in the way of an attack at admission.
type layers struct {
	name string
	// mark tells the names of the objects of one run from those of another.
	mark string
	// policies are those that the API server evaluates by itself.
	webhook, policies bool
}

var (
	webhookAlone  = layers{"webhook", "w", true, false}
	policiesAlone = layers{"policies", "p", false, true}
	bothLayers    = layers{"both", "b", true, true}
	allLayers     = []layers{webhookAlone, policiesAlone, bothLayers}
)

var (
	registration = schema.GroupVersion{Group: "admissionregistration.k8s.io", Version: "v1"}
	// configurations tell the API server of the webhook, bindings of the policies.
	configurations = []string{"mutatingwebhookconfigurations", "validatingwebhookconfigurations"}
	bindings       = []string{"mutatingadmissionpolicybindings", "validatingadmissionpolicybindings"}
)

// ours are the objects of a kind that the chart made; there are some of each.
func (s *scene) ours(ctx context.Context, resource string) ([]unstructured.Unstructured, error) {
	list, err := s.clients[clusterAdmin].Resource(registration.WithResource(resource)).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", resource, err)
	}
	var ours []unstructured.Unstructured
	for _, object := range list.Items {
		if strings.HasPrefix(object.GetName(), "bulkhead") {
			ours = append(ours, object)
		}
	}
	if len(ours) == 0 {
		return nil, fmt.Errorf("the chart installed no %s", resource)
	}
	return ours, nil
}

// withoutPolicies takes the policies out of force while do runs.
func (s *scene) withoutPolicies(ctx context.Context, do func() error) (err error) {
	again := context.WithoutCancel(ctx)
	defer func() { err = errors.Join(err, s.policiesAreKnown(again)) }()
	for _, resource := range bindings {
		found, listErr := s.ours(ctx, resource)
		if listErr != nil {
			return listErr
		}
		api := s.clients[clusterAdmin].Resource(registration.WithResource(resource))
		for _, object := range found {
			if err := api.Delete(ctx, object.GetName(), metav1.DeleteOptions{}); err != nil {
				return fmt.Errorf("remove %s: %w", object.GetName(), err)
			}
			object.SetResourceVersion("")
			object.SetUID("")
			defer func() {
				_, failure := api.Create(again, &object, metav1.CreateOptions{})
				err = errors.Join(err, failure)
			}()
		}
	}
	if err := s.policiesAreKnown(ctx); err != nil {
		return err
	}
	return do()
}

// asBeforeInstall takes the webhook and the policies out of force while do runs.
func (s *scene) asBeforeInstall(ctx context.Context, do func() error) error {
	return s.withoutPolicies(ctx, func() error { return s.withoutWebhooks(ctx, do) })
}

// withoutWebhooks keeps the API server from asking the webhook while do runs. Its
// process runs on, as its caches must see what is made meanwhile.
func (s *scene) withoutWebhooks(ctx context.Context, do func() error) (err error) {
	set := func(ctx context.Context, resource, name string, webhooks any) error {
		patch, err := json.Marshal(map[string]any{"webhooks": webhooks})
		if err != nil {
			return err
		}
		_, err = s.clients[clusterAdmin].Resource(registration.WithResource(resource)).
			Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
		if err != nil {
			return fmt.Errorf("set the webhooks of %s: %w", name, err)
		}
		return nil
	}
	for _, resource := range configurations {
		found, listErr := s.ours(ctx, resource)
		if listErr != nil {
			return listErr
		}
		for _, object := range found {
			if err := set(ctx, resource, object.GetName(), []any{}); err != nil {
				return err
			}
			defer func() {
				again := set(context.WithoutCancel(ctx), resource, object.GetName(), object.Object["webhooks"])
				err = errors.Join(err, again)
			}()
		}
	}
	if err := s.waitForAnswer(ctx, false, unasked); err != nil {
		return err
	}
	return do()
}

// in puts exactly these layers in force while do runs.
func (s *scene) in(ctx context.Context, l layers, do func() error) (err error) {
	run := do
	if !l.webhook {
		run = func() error {
			s.admin.Compute.Webhook.Stop()
			err := s.waitForAnswer(ctx, true, asked)
			if err == nil {
				err = do()
			}
			again := context.WithoutCancel(ctx)
			return errors.Join(err, s.admin.Compute.Webhook.Start(again), s.waitForAnswer(again, false, asked))
		}
	}
	if l.policies {
		if err := s.policiesAreKnown(ctx); err != nil {
			return err
		}
		return run()
	}
	return s.withoutPolicies(ctx, run)
}

// What the API server does with classes of ours, one to be filled in and one to
// be refused.
const (
	unasked = "nothing"
	asked   = "inject and refuse"
)

// waitForAnswer waits until the API server has heard of what is in force:
// whether the webhook is asked, or cannot be although it should be.
func (s *scene) waitForAnswer(ctx context.Context, unreachable bool, want string) error {
	var last error
	err := actors.Eventually(ctx, func(ctx context.Context) (bool, error) {
		plain := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "probe-plain"}, Provisioner: tenancy.CSIDriver}
		wrong := &storagev1.StorageClass{
			ObjectMeta: metav1.ObjectMeta{Name: "probe-wrong"}, Provisioner: tenancy.CSIDriver,
			Parameters: map[string]string{tenancy.CSISecretName: "x", tenancy.CSISecretNamespace: "y"},
		}
		errPlain := s.admin.Create(ctx, plain, client.DryRunAll)
		last = s.admin.Create(ctx, wrong, client.DryRunAll)
		switch {
		case unreachable:
			return errPlain != nil && last != nil, nil
		case want == unasked:
			return errPlain == nil && len(plain.Parameters) == 0 && last == nil, nil
		default:
			return errPlain == nil && len(plain.Parameters) > 0 && last != nil && len(refusalOf(last).rules) > 0, nil
		}
	})
	if err != nil {
		return fmt.Errorf("the API server should %s (webhook unreachable: %v): %w, last: %w", want, unreachable, err, last)
	}
	return nil
}
