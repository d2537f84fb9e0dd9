package webhook

import (
	"context"
	"fmt"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// review is one object that is being created or updated.
type review[T any] struct {
	// namespace of the object, empty if it is cluster-scoped.
	namespace string
	// name of the object, empty if the API server has yet to make one up.
	name   string
	object *T
	// old is the object before an update, nil on creation.
	old  *T
	user authenticationv1.UserInfo
}

// rule refuses objects for one reason of the threat list. F is what is known of
// the object at hand.
type rule[F any] struct {
	// id as in the catalog.
	id string
	// check returns the reasons to refuse. An error means that the rule could
	// not decide, which refuses the request as well.
	check func(context.Context, *lookup, F) ([]Denial, error)
}

// resource is everything that happens to one kind of object.
type resource[T, F any] struct {
	// prepare looks up, once, what injection and rules need to know.
	prepare func(context.Context, *lookup, *review[T]) (F, error)
	// inject is nil for objects that are only judged.
	inject func(context.Context, *lookup, F) (patch, error)
	rules  []rule[F]
	// within are those of the rules that policies inside the API server judge as
	// well, by the object alone (firstlayer.go).
	within []rule[F]
}

// asIs prepares nothing: the object alone suffices.
func asIs[T any](_ context.Context, _ *lookup, r *review[T]) (*review[T], error) { return r, nil }

// reviewer is a resource without its types. An error of either method is a
// *objectError, or means that no decision could be had.
type reviewer interface {
	// foreseen is whether the API server's policies may refuse the object.
	mutate(context.Context, *lookup, admission.Request) (changes patch, foreseen bool, err error)
	validate(context.Context, *lookup, admission.Request) (*verdict, error)
	ruleIDs() []string
}

func (r resource[T, F]) ruleIDs() []string {
	var ids []string
	for _, rule := range r.rules {
		ids = append(ids, rule.id)
	}
	return ids
}

func (r resource[T, F]) mutate(ctx context.Context, l *lookup, req admission.Request) (changes patch, foreseen bool, err error) {
	if r.inject == nil {
		return nil, false, nil
	}
	review, err := decode[T](req)
	if err != nil {
		return nil, false, err
	}
	facts, err := r.prepare(ctx, l, review)
	if err != nil {
		return nil, false, err
	}
	if changes, err = r.inject(ctx, l, facts); err != nil {
		return nil, false, err
	}
	for _, rule := range r.within {
		// One that cannot decide now will say so when the object is judged.
		if found, err := rule.check(ctx, l, facts); err == nil && len(found) > 0 {
			foreseen = true
		}
	}
	return changes, foreseen, nil
}

// validate runs every rule, so that the user learns all reasons at once.
func (r resource[T, F]) validate(ctx context.Context, l *lookup, req admission.Request) (*verdict, error) {
	review, err := decode[T](req)
	if err != nil {
		return nil, err
	}
	facts, err := r.prepare(ctx, l, review)
	if err != nil {
		return nil, err
	}
	v := &verdict{}
	for _, rule := range r.rules {
		mode := l.policy.mode(rule.id)
		if mode == Off {
			continue
		}
		if l.policy.exempt(rule.id, review.namespace, review.user.Username) {
			v.exempt = append(v.exempt, rule.id)
			continue
		}
		found, err := rule.check(ctx, l, facts)
		for _, d := range bounded(found) {
			d.Rule = rule.id
			if mode == Enforce {
				v.denied = append(v.denied, d)
			} else {
				v.warned = append(v.warned, d)
			}
		}
		switch {
		case err == nil:
		case mode == Enforce:
			v.undecided, v.err = rule.id, err
		default:
			v.warned = append(v.warned, Denial{
				Rule: rule.id, Message: "could not be decided now", Mend: "see the log of the Bulkhead webhook",
			})
		}
	}
	return v, nil
}

// undecided refuses what could not be judged. Why is for the log: the text may
// hold addresses that are nobody's business here.
func undecided(what string) admission.Response {
	return admission.Errored(http.StatusInternalServerError,
		fmt.Errorf("%s could not be decided now, so the object is refused; try again, or see the log of the Bulkhead webhook", what))
}

// objectError says that an object is not what its kind says.
type objectError struct{ err error }

func (e *objectError) Error() string { return e.err.Error() }
func (e *objectError) Unwrap() error { return e.err }

// decode reads the objects with regard to case, as the API server and the
// controllers do: a second spelling of a field must not hide the first.
func decode[T any](req admission.Request) (*review[T], error) {
	r := &review[T]{namespace: req.Namespace, name: req.Name, user: req.UserInfo, object: new(T)}
	if req.Kind.Group == "" && req.Kind.Kind == "Namespace" {
		r.namespace = "" // the API server says its own name; it does not lie in itself
	}
	if err := json.Unmarshal(req.Object.Raw, r.object); err != nil {
		return nil, &objectError{fmt.Errorf("decode %s: %w", req.Kind.Kind, err)}
	}
	if req.Operation == admissionv1.Update {
		r.old = new(T)
		if err := json.Unmarshal(req.OldObject.Raw, r.old); err != nil {
			return nil, &objectError{fmt.Errorf("decode the old %s: %w", req.Kind.Kind, err)}
		}
	}
	return r, nil
}
