package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// An expression of the API server cannot look a class up, so it is told: the
// webhook keeps one match condition that names the classes of other drivers, in
// its own configurations and in the policy that injects. A class that is not
// named counts as ours, so a new class, a list that is late and one that is lost
// are all safe; and while no webhook runs, claims of the classes that were known
// go on as if there were no Bulkhead. The policies that refuse have the contrary,
// the classes of ours: what they do not know yet the webhook judges, who looks.
//
// The name must have left the first list before a class of ours can take it;
// rule C7 sees to that.

const (
	// classCondition is the match condition, and knownCondition that of the
	// policies that refuse. They are ours alone: the chart renders none of those
	// names, so an upgrade leaves them as they are.
	classCondition = "class-may-be-ours"
	knownCondition = "class-is-ours"
	// classListInterval is how often the list is compared, besides when a class
	// comes or goes: whoever else writes these objects may have dropped it.
	classListInterval = 10 * time.Second
	// classListRetry is how soon a failure is tried again.
	classListRetry = time.Second
	// classListLimit bounds the list, in bytes: an expression may have 100,000
	// characters. Classes beyond it are asked about, as if nobody knew them.
	classListLimit = 90_000
	// classListManager owns the condition, and nothing else (server-side apply).
	classListManager = "bulkhead-classes"
)

var registration = schema.GroupVersion{Group: "admissionregistration.k8s.io", Version: "v1"}

// classNameExpression is className as an expression, of the variable `object`
// or `oldObject`.
func classNameExpression(object string) string {
	return fmt.Sprintf(`%[1]s.metadata.?annotations[?%[2]q].orValue(%[1]s.?spec.?storageClassName.orValue(""))`,
		object, tenancy.BetaStorageClass)
}

// classList keeps the condition.
type classList struct {
	client  dynamic.Interface
	classes client.Reader
	drivers tenancy.Drivers
	// name of the webhook configurations; that of the policies begins with it.
	name string
	wake chan struct{}
}

func newClassList(api dynamic.Interface, classes client.Reader, drivers tenancy.Drivers, name string) *classList {
	return &classList{client: api, classes: classes, drivers: drivers, name: name, wake: make(chan struct{}, 1)}
}

// holder is an object that holds the condition.
type holder struct {
	kind, resource, name string
	// webhook is the one of a webhook configuration that is for claims, empty for
	// a policy.
	webhook string
	// condition is its name.
	condition string
}

// holders are all that the chart may have installed.
func (c *classList) holders() []holder {
	return []holder{
		{"MutatingWebhookConfiguration", "mutatingwebhookconfigurations", c.name, "persistentvolumeclaims.mutate.bulkhead.dev", classCondition},
		{"ValidatingWebhookConfiguration", "validatingwebhookconfigurations", c.name, "persistentvolumeclaims.validate.bulkhead.dev", classCondition},
		{"MutatingAdmissionPolicy", "mutatingadmissionpolicies", c.name + "-claims", "", classCondition},
		{"ValidatingAdmissionPolicy", "validatingadmissionpolicies", c.name + "-claims", "", knownCondition},
		{"ValidatingAdmissionPolicy", "validatingadmissionpolicies", c.name + "-claims-warn", "", knownCondition},
	}
}

func (c *classList) resource(h holder) dynamic.ResourceInterface {
	return c.client.Resource(registration.WithResource(h.resource))
}

// watch wakes the list when a class comes or goes. Its provisioner is immutable.
func (c *classList) watch(ctx context.Context, informers cache.Cache) error {
	informer, err := informers.GetInformer(ctx, &storagev1.StorageClass{}, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watch classes: %w", err)
	}
	wake := func(any) {
		select {
		case c.wake <- struct{}{}:
		default: // it is awake
		}
	}
	if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{AddFunc: wake, DeleteFunc: wake}); err != nil {
		return fmt.Errorf("watch classes: %w", err)
	}
	return nil
}

// keep works until ctx ends. Every replica does: what they write is the same.
func (c *classList) keep(ctx context.Context) error {
	for {
		pause := classListInterval
		if err := c.ensure(ctx); err != nil && ctx.Err() == nil {
			klog.FromContext(ctx).Error(err, "List of other drivers' classes is not in order; will try again")
			pause = classListRetry
		}
		select {
		case <-ctx.Done():
			return nil
		case <-c.wake:
		case <-time.After(pause):
		}
	}
}

// ensure writes the condition wherever it is not what it should be.
func (c *classList) ensure(ctx context.Context) error {
	var all storagev1.StorageClassList
	if err := c.classes.List(ctx, &all); err != nil {
		return fmt.Errorf("list classes: %w", err)
	}
	var ours, theirs []string
	for i := range all.Items {
		class := &all.Items[i]
		switch {
		case c.drivers.Owns(class.Provisioner):
			ours = append(ours, class.Name)
		// Under a name that Bulkhead was not told of the driver is not another one.
		case !c.drivers.Unguarded(class.Provisioner):
			theirs = append(theirs, class.Name)
		}
	}
	want := map[string]string{classCondition: "!" + classIn(theirs), knownCondition: classIn(ours)}
	var problems []error
	for _, h := range c.holders() {
		have, there, err := c.read(ctx, h)
		if err == nil && there && have != want[h.condition] {
			err = c.write(ctx, h, want[h.condition])
		}
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// classIn is the expression that a claim's class is one of those.
func classIn(names []string) string {
	slices.Sort(names)
	var list strings.Builder
	for i, name := range names {
		entry := strconv.Quote(name)
		if i > 0 {
			entry = ", " + entry
		}
		if list.Len()+len(entry) > classListLimit {
			break
		}
		list.WriteString(entry)
	}
	return "(" + classNameExpression("object") + " in [" + list.String() + "])"
}

// holds reports whether any condition in force names the class as another
// driver's. It asks the API server, as a cache may be late.
func (c *classList) holds(ctx context.Context, class string) (bool, error) {
	for _, h := range c.holders() {
		if h.condition != classCondition {
			continue
		}
		expression, _, err := c.read(ctx, h)
		if err != nil {
			return false, err
		}
		// Names of classes hold no character that Quote would escape, and nothing
		// else in the expression is a quoted DNS name without a slash.
		if strings.Contains(expression, strconv.Quote(class)) {
			return true, nil
		}
	}
	return false, nil
}

// read returns the condition that the object holds, empty if it has none; there
// is false if it is not installed.
func (c *classList) read(ctx context.Context, h holder) (expression string, there bool, err error) {
	object, err := c.resource(h).Get(ctx, h.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", false, nil // so says too an API server that has no such kind
	}
	if err != nil {
		return "", false, fmt.Errorf("read %s %s: %w", h.kind, h.name, err)
	}
	var conditions []any
	if h.webhook == "" {
		there = true
		conditions, _, err = unstructured.NestedSlice(object.Object, "spec", "matchConditions")
	} else {
		var webhooks []any
		webhooks, _, err = unstructured.NestedSlice(object.Object, "webhooks")
		if entry := named(webhooks, h.webhook); err == nil && entry != nil {
			there = true
			conditions, _, err = unstructured.NestedSlice(entry, "matchConditions")
		}
	}
	if err != nil {
		return "", false, fmt.Errorf("read %s %s: %w", h.kind, h.name, err)
	}
	expression, _, err = unstructured.NestedString(named(conditions, h.condition), "expression")
	if err != nil {
		return "", false, fmt.Errorf("read %s %s: %w", h.kind, h.name, err)
	}
	return expression, there, nil
}

// named is the map of that name in a list of maps, nil if there is none.
func named(list []any, name string) map[string]any {
	for _, item := range list {
		if m, ok := item.(map[string]any); ok && m["name"] == name {
			return m
		}
	}
	return nil
}

func (c *classList) write(ctx context.Context, h holder, expression string) error {
	conditions := []any{map[string]any{"name": h.condition, "expression": expression}}
	object := map[string]any{
		"apiVersion": registration.String(), "kind": h.kind, "metadata": map[string]any{"name": h.name},
	}
	if h.webhook == "" {
		object["spec"] = map[string]any{"matchConditions": conditions}
	} else {
		object["webhooks"] = []any{map[string]any{"name": h.webhook, "matchConditions": conditions}}
	}
	body, err := json.Marshal(object)
	if err != nil {
		return fmt.Errorf("write the list of classes: %w", err)
	}
	// Nobody else has a say in this condition.
	force := true
	_, err = c.resource(h).Patch(ctx, h.name, types.ApplyPatchType, body,
		metav1.PatchOptions{FieldManager: classListManager, Force: &force})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("write the list of classes into %s %s: %w", h.kind, h.name, err)
	}
	return nil
}
