package webhook

import (
	"slices"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

func TestE3_TheRightToAssignIsAskedForTheUserAsItIs(t *testing.T) {
	client := fake.NewClientset()
	var asked authorizationv1.SubjectAccessReviewSpec
	client.PrependReactor("create", "subjectaccessreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
		review := action.(clienttesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview)
		asked = review.Spec
		review.Status.Allowed = review.Spec.User == "fiona"
		return true, review, nil
	})
	reviews := accessReviews{client.AuthorizationV1().SubjectAccessReviews()}
	user := authenticationv1.UserInfo{
		Username: "fiona", UID: "1", Groups: []string{"finance"}, Extra: map[string]authenticationv1.ExtraValue{"scopes": {"x"}},
	}
	if may, err := reviews.mayAssign(t.Context(), user, "finance"); err != nil || !may {
		t.Errorf("%v, %v", may, err)
	}
	want := authorizationv1.ResourceAttributes{Verb: "assign", Group: "bulkhead.dev", Resource: "tenants", Name: "finance"}
	if asked.ResourceAttributes == nil || *asked.ResourceAttributes != want || asked.UID != "1" ||
		!slices.Equal(asked.Groups, user.Groups) || !slices.Equal(asked.Extra["scopes"], []string{"x"}) {
		t.Errorf("asked %+v", asked)
	}
	if may, err := reviews.mayAssign(t.Context(), authenticationv1.UserInfo{Username: "mallory"}, "finance"); err != nil || may {
		t.Errorf("mallory: %v, %v", may, err)
	}
}
