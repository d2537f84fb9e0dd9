package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
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

// rule refuses objects for one reason of the threat list.
type rule[T any] struct {
	// id as in docs/rules.md.
	id string
	// check returns the reasons to refuse. An error means that the rule could
	// not decide, which refuses the request as well.
	check func(context.Context, *lookup, *review[T]) ([]Denial, error)
}

// resource is everything that happens to one kind of object.
type resource[T any] struct {
	inject func(context.Context, *lookup, *review[T]) (patch, error)
	rules  []rule[T]
}

// reviewer is a resource without its type.
type reviewer interface {
	mutate(context.Context, *lookup, admission.Request) admission.Response
	validate(context.Context, *lookup, admission.Request) admission.Response
}

func (r resource[T]) mutate(ctx context.Context, l *lookup, req admission.Request) admission.Response {
	review, err := decode[T](req)
	if err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	changes, err := r.inject(ctx, l, review)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, err)
	}
	if len(changes) == 0 {
		return admission.Allowed("")
	}
	return admission.Patched("", changes...)
}

// validate runs every rule, so that the user learns all reasons at once.
func (r resource[T]) validate(ctx context.Context, l *lookup, req admission.Request) admission.Response {
	review, err := decode[T](req)
	if err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	var denials []Denial
	for _, rule := range r.rules {
		found, err := rule.check(ctx, l, review)
		if err != nil {
			return admission.Errored(http.StatusInternalServerError, fmt.Errorf("%s could not be decided: %w", rule.id, err))
		}
		for _, d := range found {
			d.Rule = rule.id
			denials = append(denials, d)
		}
	}
	return answer(denials)
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
