package webhook

import (
	"context"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
)

// The right to put namespaces into a labelled tenant is a rule of RBAC like any
// other: verb, group and resource of no object that there is. Who may do
// everything has it.
const (
	assignVerb     = "assign"
	assignGroup    = "bulkhead.dev"
	assignResource = "tenants"
)

// accessReviews asks the API server.
type accessReviews struct {
	client authorizationclient.SubjectAccessReviewInterface
}

func (a accessReviews) mayAssign(ctx context.Context, user authenticationv1.UserInfo, tenant string) (bool, error) {
	extra := make(map[string]authorizationv1.ExtraValue, len(user.Extra))
	for key, values := range user.Extra {
		extra[key] = authorizationv1.ExtraValue(values)
	}
	review, err := a.client.Create(ctx, &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Verb: assignVerb, Group: assignGroup, Resource: assignResource, Name: tenant,
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return false, fmt.Errorf("ask whether %s may assign tenants: %w", user.Username, err)
	}
	return review.Status.Allowed, nil
}
