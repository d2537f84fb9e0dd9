package attacks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	jsonpatch "github.com/evanphx/json-patch/v5"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/bulkhead-dev/bulkhead/test/actors"
)

// fieldManager is the name under which server-side apply is done.
const fieldManager = "kubectl"

// resource is where objects of a kind are written by someone.
func (s *scene) resource(who string, object *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	kind := object.GroupVersionKind()
	mapping, err := s.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return nil, err
	}
	client := s.clients[who].Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameRoot {
		return client, nil
	}
	if object.GetNamespace() == "" {
		return nil, fmt.Errorf("%s %s names no namespace", object.GetKind(), object.GetName())
	}
	return client.Namespace(object.GetNamespace()), nil
}

// act applies an object under test and returns what the API server answered.
func (c *Case) act(ctx context.Context, s *scene, t step) (stored *unstructured.Unstructured, err error) {
	err = decided(func() error {
		stored, err = c.actOnce(ctx, s, t)
		return err
	})
	return stored, err
}

// decided tries again what could not be decided: on a machine that stands still for
// seconds no question is answered in time, and the webhook fails closed. TestCorpus wants
// that to be rare.
func decided(try func() error) (err error) {
	const tries = 5
	for range tries {
		if err = try(); err == nil || !undecided(err) {
			return err
		}
		undecideds.Add(1)
	}
	return err
}

// undecideds counts what could not be decided at first.
var undecideds atomic.Int32

func undecided(err error) bool {
	text := err.Error()
	return strings.Contains(text, "could not be decided now, so the object is refused") ||
		strings.Contains(text, "failed calling webhook") && strings.Contains(text, "context deadline exceeded")
}

func (c *Case) actOnce(ctx context.Context, s *scene, t step) (*unstructured.Unstructured, error) {
	resource, err := s.resource(c.As, t.object)
	if err != nil {
		return nil, err
	}
	var dryRun, subresources []string
	if c.DryRun {
		dryRun = []string{metav1.DryRunAll}
	}
	if c.Subresource != "" {
		subresources = []string{c.Subresource}
	}
	validation := metav1.FieldValidationStrict
	if c.UnknownFields {
		validation = metav1.FieldValidationIgnore
	}
	name := t.object.GetName()
	patch := func(kind types.PatchType, body any, force *bool) (*unstructured.Unstructured, error) {
		raw, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		options := metav1.PatchOptions{DryRun: dryRun, FieldValidation: validation, FieldManager: fieldManager, Force: force}
		return resource.Patch(ctx, name, kind, raw, options, subresources...)
	}
	switch c.How {
	case howCreate:
		return resource.Create(ctx, t.object, metav1.CreateOptions{DryRun: dryRun, FieldValidation: validation}, subresources...)
	case howApply:
		force := true
		return patch(types.ApplyPatchType, t.object.Object, &force)
	case howMergePatch:
		return patch(types.MergePatchType, t.object.Object, nil)
	case howStrategicPatch:
		return patch(types.StrategicMergePatchType, t.object.Object, nil)
	case howJSONPatch:
		return patch(types.JSONPatchType, t.patch, nil)
	case howDelete:
		return nil, resource.Delete(ctx, name, metav1.DeleteOptions{DryRun: dryRun})
	case howUpdate:
		return c.edit(ctx, s, t.object, func(ctx context.Context, edited *unstructured.Unstructured) (*unstructured.Unstructured, error) {
			return resource.Update(ctx, edited, metav1.UpdateOptions{DryRun: dryRun, FieldValidation: validation}, subresources...)
		})
	default:
		return nil, fmt.Errorf("nobody knows how to %s", c.How)
	}
}

// edit changes an object as `kubectl edit` does: it reads it, merges the change
// in, and writes all of it back. A controller may be faster, so it tries again.
func (c *Case) edit(ctx context.Context, s *scene, change *unstructured.Unstructured,
	write func(context.Context, *unstructured.Unstructured) (*unstructured.Unstructured, error),
) (*unstructured.Unstructured, error) {
	// Read as the admin: that somebody may write without reading is no matter here.
	reader, err := s.resource(clusterAdmin, change)
	if c.As == operatorElsewhere {
		reader, err = s.resource(c.As, change)
	}
	if err != nil {
		return nil, err
	}
	const tries = 10
	for range tries {
		current, err := reader.Get(ctx, change.GetName(), metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("read what is to be edited: %w", err)
		}
		edited, err := merged(current, change)
		if err != nil {
			return nil, err
		}
		stored, err := write(ctx, edited)
		if !apierrors.IsConflict(err) {
			return stored, err
		}
	}
	return nil, fmt.Errorf("%s changed between read and write, %d times", change.GetName(), tries)
}

// merged is RFC 7386: null removes.
func merged(current, change *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	before, err := json.Marshal(current)
	if err != nil {
		return nil, err
	}
	patch, err := json.Marshal(change)
	if err != nil {
		return nil, err
	}
	after, err := jsonpatch.MergePatch(before, patch)
	if err != nil {
		return nil, err
	}
	edited := &unstructured.Unstructured{}
	return edited, edited.UnmarshalJSON(after)
}

// prepare makes a setup object and waits until it holds what the case says.
func (s *scene) prepare(ctx context.Context, t step) error {
	what := t.object.GetKind() + " " + t.object.GetName()
	resource, err := s.resource(t.setup, t.object)
	if err != nil {
		return err
	}
	create := func() error {
		_, err := resource.Create(ctx, t.object, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
		return err
	}
	err = decided(create)
	if t.setup == beforeInstall && err != nil && len(refusalOf(err).rules) > 0 {
		// The API server may not have heard yet that something is out of force.
		last := actors.Eventually(ctx, func(context.Context) (bool, error) {
			err = create()
			return err == nil || len(refusalOf(err).rules) == 0, nil
		})
		err = errors.Join(last, err)
	}
	if err != nil {
		return fmt.Errorf("setup: %s makes %s: %w", t.setup, what, err)
	}
	if t.until != nil {
		if err := s.waitFor(ctx, t.setup, t.object, t.until); err != nil {
			return fmt.Errorf("setup: %s: %w", what, err)
		}
	}
	if t.deleted {
		if err := resource.Delete(ctx, t.object.GetName(), metav1.DeleteOptions{}); err != nil {
			return fmt.Errorf("setup: delete %s: %w", what, err)
		}
	}
	return nil
}

// verify waits until what the case says of the end is so.
func (s *scene) verify(ctx context.Context, who string, t step) error {
	what := t.object.GetKind() + " " + t.object.GetName()
	if t.then == thenHolds {
		if err := s.waitFor(ctx, who, t.object, t.object.Object); err != nil {
			return fmt.Errorf("then: %s: %w", what, err)
		}
		return nil
	}
	resource, err := s.reader(who, t.object)
	if err != nil {
		return err
	}
	err = actors.Eventually(ctx, func(ctx context.Context) (bool, error) {
		_, err := resource.Get(ctx, t.object.GetName(), metav1.GetOptions{})
		return apierrors.IsNotFound(err), ignoreNotFound(err)
	})
	if err != nil {
		return fmt.Errorf("then: %s is not gone: %w", what, err)
	}
	return nil
}

// reader reads with an admin's rights in the cluster of someone.
func (s *scene) reader(who string, object *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	if who == operatorElsewhere {
		return s.resource(who, object)
	}
	return s.resource(clusterAdmin, object)
}

func (s *scene) waitFor(ctx context.Context, who string, object *unstructured.Unstructured, want map[string]any) error {
	resource, err := s.reader(who, object)
	if err != nil {
		return err
	}
	lacks := "it does not exist"
	err = actors.Eventually(ctx, func(ctx context.Context) (bool, error) {
		have, err := resource.Get(ctx, object.GetName(), metav1.GetOptions{})
		if err != nil {
			return false, ignoreNotFound(err)
		}
		lacks = difference("", have.Object, want)
		return lacks == "", nil
	})
	if err != nil {
		return fmt.Errorf("%w: %s", err, lacks)
	}
	return nil
}

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
