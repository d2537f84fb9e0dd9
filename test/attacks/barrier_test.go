package attacks

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/actors"
)

// The API server hears of policies and of their bindings, and of those that mutate
// and those that validate, on a watch each, and acts on what it heard once a second.
// So no answer about one of them tells anything of another. But each watch keeps its
// order: once a policy and a binding that were written last are in force, so are all
// bindings that were written before (and all policies, but for one that comes in the
// very moment in which the API server goes through them).

// policiesAreKnown waits until the API server acts on all policies and bindings, and
// the lack of them, as they are stored now.
func (s *scene) policiesAreKnown(ctx context.Context) error {
	for _, m := range []marker{mutatingMarker(), validatingMarker()} {
		if err := s.waitForMarker(ctx, m); err != nil {
			return fmt.Errorf("wait for the API server to know all %s: %w", m.kind, err)
		}
	}
	return nil
}

// marker is a policy that is written after all others of its kind. It is about one
// ConfigMap, which nobody makes but by a dry run.
type marker struct {
	kind            string
	policy, binding client.Object
	about           *corev1.ConfigMap
	// inForce tells from the answer to the ConfigMap.
	inForce func(*corev1.ConfigMap, error) bool
}

func (s *scene) waitForMarker(ctx context.Context, m marker) (err error) {
	for _, object := range []client.Object{m.policy, m.binding} {
		if err := s.admin.Create(ctx, object); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.admin.Delete(context.WithoutCancel(ctx), object)) }()
	}
	m.about.Namespace = s.attacker.Namespace.Name
	var answer error
	err = actors.Eventually(ctx, func(ctx context.Context) (bool, error) {
		about := m.about.DeepCopy()
		answer = s.admin.Create(ctx, about, client.DryRunAll)
		return m.inForce(about, answer), nil
	})
	if err != nil {
		return fmt.Errorf("%w, its last answer: %w", err, answer)
	}
	return nil
}

var markers atomic.Int32

func markerName() string { return "marker-" + strconv.Itoa(int(markers.Add(1))) }

// aboutOne matches the creation of the ConfigMap of that name.
func aboutOne(name string) (*admissionv1.MatchResources, []admissionv1.MatchCondition) {
	creation := admissionv1.RuleWithOperations{
		Operations: []admissionv1.OperationType{admissionv1.Create},
		Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
	}
	named := admissionv1.MatchCondition{Name: "named", Expression: fmt.Sprintf("object.metadata.?name.orValue(\"\") == %q", name)}
	return &admissionv1.MatchResources{
		ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: creation}},
	}, []admissionv1.MatchCondition{named}
}

func mutatingMarker() marker {
	meta := metav1.ObjectMeta{Name: markerName()}
	constraints, conditions := aboutOne(meta.Name)
	return marker{
		kind: "policies that mutate",
		policy: &admissionv1.MutatingAdmissionPolicy{ObjectMeta: meta, Spec: admissionv1.MutatingAdmissionPolicySpec{
			MatchConstraints: constraints, MatchConditions: conditions,
			ReinvocationPolicy: admissionv1.NeverReinvocationPolicy,
			Mutations: []admissionv1.Mutation{{
				PatchType:          admissionv1.PatchTypeApplyConfiguration,
				ApplyConfiguration: &admissionv1.ApplyConfiguration{Expression: `Object{data: {"heard": "yes"}}`},
			}},
		}},
		binding: &admissionv1.MutatingAdmissionPolicyBinding{ObjectMeta: meta, Spec: admissionv1.MutatingAdmissionPolicyBindingSpec{
			PolicyName: meta.Name,
		}},
		about:   &corev1.ConfigMap{ObjectMeta: meta},
		inForce: func(about *corev1.ConfigMap, err error) bool { return err == nil && about.Data["heard"] != "" },
	}
}

func validatingMarker() marker {
	meta := metav1.ObjectMeta{Name: markerName()}
	constraints, conditions := aboutOne(meta.Name)
	return marker{
		kind: "policies that validate",
		policy: &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: meta, Spec: admissionv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: constraints, MatchConditions: conditions,
			Validations: []admissionv1.Validation{{Expression: "false"}},
		}},
		binding: &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: meta, Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: meta.Name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		}},
		about: &corev1.ConfigMap{ObjectMeta: meta},
		inForce: func(_ *corev1.ConfigMap, err error) bool {
			return err != nil && strings.Contains(err.Error(), "ValidatingAdmissionPolicy '"+meta.Name+"'")
		},
	}
}

// classesAreListed waits until the webhook has told the policies of all classes that
// there are: a claim of another driver's class that they do not know yet they take for
// one of ours.
func (s *scene) classesAreListed(ctx context.Context) error {
	var classes storagev1.StorageClassList
	if err := s.admin.List(ctx, &classes); err != nil {
		return err
	}
	missing := ""
	err := actors.Eventually(ctx, func(ctx context.Context) (bool, error) {
		var (
			mutating   admissionv1.MutatingAdmissionPolicy
			validating admissionv1.ValidatingAdmissionPolicy
		)
		for _, policy := range []client.Object{&mutating, &validating} {
			if err := s.admin.Get(ctx, client.ObjectKey{Name: "bulkhead-claims"}, policy); err != nil {
				return false, err
			}
		}
		for _, class := range classes.Items {
			list := expressionOf(mutating.Spec.MatchConditions, othersCondition)
			switch {
			case tenancy.DefaultDrivers().Owns(class.Provisioner):
				list = expressionOf(validating.Spec.MatchConditions, oursCondition)
			case tenancy.DefaultDrivers().Unguarded(class.Provisioner):
				continue // in neither
			}
			if missing = class.Name; !strings.Contains(list, strconv.Quote(missing)) {
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("wait for the policies to hear of class %q: %w", missing, err)
	}
	return nil
}

// The match conditions that name the classes of other drivers, and ours. The webhook
// writes them into its configurations before.
const (
	othersCondition = "class-may-be-ours"
	oursCondition   = "class-is-ours"
)

func expressionOf(conditions []admissionv1.MatchCondition, name string) string {
	for _, condition := range conditions {
		if condition.Name == name {
			return condition.Expression
		}
	}
	return ""
}
