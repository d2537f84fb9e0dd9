package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// review is one object that is being created or updated.
type review[T any] struct {
	// namespace of the object, empty if it is cluster-scoped.
	namespace string
	object    *T
	// old is the object before an update, nil on creation.
	old  *T
	user authenticationv1.UserInfo
}

// rule refuses objects for one reason of the threat list. F is what is known of
// the object at hand.
type rule[F any] struct {
	// id as in docs/rules.md.
	id string
	// check returns the reasons to refuse. An error means that the rule could
	// not decide, which refuses the request as well.
	check func(context.Context, *lookup, F) ([]Denial, error)
}

// resource is everything that happens to one kind of object.
type resource[T, F any] struct {
	// prepare looks up, once, what injection and rules need to know.
	prepare func(context.Context, *lookup, *review[T]) (F, error)
	inject  func(context.Context, *lookup, F) (patch, error)
	rules   []rule[F]
}

// asIs prepares nothing: the object alone suffices.
func asIs[T any](_ context.Context, _ *lookup, r *review[T]) (*review[T], error) { return r, nil }

// reviewer is a resource without its types.
type reviewer interface {
	mutate(context.Context, *lookup, admission.Request) admission.Response
	validate(context.Context, *lookup, admission.Request) admission.Response
}

func (r resource[T, F]) mutate(ctx context.Context, l *lookup, req admission.Request) admission.Response {
	review, err := decode[T](req)
	if err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	facts, err := r.prepare(ctx, l, review)
	if err != nil {
		return undecided(ctx, "injection", err)
	}
	changes, err := r.inject(ctx, l, facts)
	if err != nil {
		return undecided(ctx, "injection", err)
	}
	if len(changes) == 0 {
		return admission.Allowed("")
	}
	return admission.Patched("", changes...)
}

// validate runs every rule, so that the user learns all reasons at once.
func (r resource[T, F]) validate(ctx context.Context, l *lookup, req admission.Request) admission.Response {
	review, err := decode[T](req)
	if err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	facts, err := r.prepare(ctx, l, review)
	if err != nil {
		return undecided(ctx, "the rules", err)
	}
	var denials []Denial
	for _, rule := range r.rules {
		found, err := rule.check(ctx, l, facts)
		if err != nil {
			return undecided(ctx, rule.id, err)
		}
		for _, d := range found {
			d.Rule = rule.id
			denials = append(denials, d)
		}
	}
	return answer(denials)
}

// undecided refuses what could not be judged. Why is for the log: the text may
// hold addresses that are nobody's business here.
func undecided(ctx context.Context, what string, err error) admission.Response {
	klog.FromContext(ctx).Error(err, "Refused an object that could not be judged", "undecided", what)
	return admission.Errored(http.StatusInternalServerError,
		fmt.Errorf("%s could not be decided now, so the object is refused; try again, or see the log of the Bulkhead webhook", what))
}

func decode[T any](req admission.Request) (*review[T], error) {
	r := &review[T]{namespace: req.Namespace, user: req.UserInfo, object: new(T)}
	if err := json.Unmarshal(req.Object.Raw, r.object); err != nil {
		return nil, fmt.Errorf("decode %s: %w", req.Kind.Kind, err)
	}
	if req.Operation == admissionv1.Update {
		r.old = new(T)
		if err := json.Unmarshal(req.OldObject.Raw, r.old); err != nil {
			return nil, fmt.Errorf("decode the old %s: %w", req.Kind.Kind, err)
		}
	}
	return r, nil
}
