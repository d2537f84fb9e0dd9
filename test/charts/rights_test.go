package charts

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

const (
	installed      = "bulkhead-system"
	webhookAccount = "system:serviceaccount:bulkhead-system:bulkhead-webhook"
	sidecarAccount = "system:serviceaccount:bulkhead-system:bulkhead-sidecar"
)

// may asks the API server of the stage, where the chart is installed.
func may(t *testing.T, user, verb, namespace, resource, name string) bool {
	t.Helper()
	group := ""
	if plural, g, found := strings.Cut(resource, "."); found {
		resource, group = plural, g
	}
	review, err := admin().Compute.Client.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{User: user, Groups: []string{"system:serviceaccounts", "system:authenticated"}, ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: namespace, Verb: verb, Group: group, Resource: resource, Name: name,
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return review.Status.Allowed
}

func TestWhoMayReadWhichSecrets(t *testing.T) {
	tokens := admin().Layout.TokenNamespace
	token := admin().Layout.TokenSecret("team").Name
	// What every admin of a namespace has, and what the sidecar gets here.
	if admin().Layout.Placement != tenancy.Central {
		t.Fatal("the stage has another placement")
	}
	for user, rights := range map[string]map[string]bool{ // "verb namespace/name" to whether it is allowed
		webhookAccount: {
			"get " + tokens + "/" + token:        false,
			"get " + tokens + "/":                false,
			"list " + tokens + "/":               false,
			"watch " + tokens + "/":              false,
			"get default/any":                    false,
			"list /":                             false,
			"watch /":                            false,
			"list " + installed + "/":            false,
			"watch " + installed + "/":           false,
			"get " + installed + "/":             false,
			"get " + installed + "/any":          false,
			"create " + tokens + "/":             false,
			"patch " + tokens + "/" + token:      false,
			"update " + tokens + "/" + token:     false,
			"delete " + tokens + "/" + token:     false,
			"create default/":                    false,
			"deletecollection " + tokens + "/":   false,
			"impersonate " + installed + "/any":  false,
			"update " + installed + "/any":       false,
			"delete " + installed + "/any":       false,
			"deletecollection /":                 false,
			"patch " + installed + "/any":        false,
			"get " + "kube-system/bootstrap-abc": false,
		},
		sidecarAccount: {
			"list " + tokens + "/":           true,
			"watch " + tokens + "/":          true,
			"create " + tokens + "/":         true,
			"patch " + tokens + "/" + token:  true,
			"delete " + tokens + "/" + token: true,
			// Its informer lists and watches, and it writes by apply.
			"get " + tokens + "/" + token:      false,
			"update " + tokens + "/" + token:   false,
			"deletecollection " + tokens + "/": false,
			"list /":                           false,
			"watch /":                          false,
			"get default/any":                  false,
			"list default/":                    false,
			"create default/":                  false,
			"patch default/any":                false,
			"list " + installed + "/":          false,
			"get " + installed + "/any":        false,
			"create " + installed + "/":        false,
		},
	} {
		for right, want := range rights {
			verb, object, _ := strings.Cut(right, " ")
			namespace, name, _ := strings.Cut(object, "/")
			if got := may(t, user, verb, namespace, "secrets", name); got != want {
				t.Errorf("%s may %s: %v, want %v", user, right, got, want)
			}
		}
	}
}

func TestNobodyMayGiveHimselfMore(t *testing.T) {
	for _, user := range []string{webhookAccount, sidecarAccount} {
		for _, right := range []string{
			"escalate clusterroles.rbac.authorization.k8s.io", "bind clusterroles.rbac.authorization.k8s.io",
			"create clusterrolebindings.rbac.authorization.k8s.io", "create rolebindings.rbac.authorization.k8s.io",
			"impersonate users", "impersonate groups", "impersonate serviceaccounts", "create serviceaccounts/token",
			"create pods", "create pods/exec", "get nodes/proxy", "create deployments.apps", "update namespaces", "patch namespaces",
			"create persistentvolumes", "delete persistentvolumes", "create validatingwebhookconfigurations.admissionregistration.k8s.io",
		} {
			verb, resource, _ := strings.Cut(right, " ")
			if may(t, user, verb, "", resource, "") {
				t.Errorf("%s may %s", user, right)
			}
		}
	}
}

// rulesOf are the rules of all roles, by "Kind namespace/name".
func rulesOf(t *testing.T, objects []*unstructured.Unstructured) map[string][]rbacv1.PolicyRule {
	t.Helper()
	found := map[string][]rbacv1.PolicyRule{}
	for _, object := range objects {
		switch object.GetKind() {
		case "Role":
			found[describe(object)] = as[rbacv1.Role](t, object).Rules
		case "ClusterRole":
			found[describe(object)] = as[rbacv1.ClusterRole](t, object).Rules
		}
	}
	return found
}

func TestNoRuleIsAWildcard(t *testing.T) {
	looked := 0
	forEachSet(t, func(t trial) {
		for role, rules := range rulesOf(t.T, objectsOf(t.T, t.chart, newestVersion, t.values)) {
			for _, rule := range rules {
				looked++
				for _, list := range [][]string{rule.Verbs, rule.APIGroups, rule.Resources, rule.ResourceNames, rule.NonResourceURLs} {
					if slices.Contains(list, "*") {
						t.Errorf("%s: %v", role, rule)
					}
				}
				cluster := strings.HasPrefix(role, "ClusterRole ")
				if cluster && slices.Contains(rule.Resources, "secrets") && (t.set != "tenant" || !strings.Contains(role, "bulkhead-sidecar")) {
					t.Errorf("%s has to do with Secrets of the whole cluster: %v", role, rule)
				}
			}
		}
	})
	if looked < 50 {
		t.Errorf("%d rules were looked at", looked)
	}
}

// Each rule says why it is there.
func TestEachRuleHasItsReason(t *testing.T) {
	rule := regexp.MustCompile(`^ *- apiGroups: `)
	looked := 0
	for _, file := range []string{
		"bulkhead/templates/webhook/rbac.yaml", "bulkhead/templates/sidecar/rbac.yaml", "bulkhead/templates/sidecar/release.yaml",
		"bulkhead/templates/tests/webhook.yaml", "bulkhead/templates/tests/sidecar.yaml", "bulkhead-issuer/templates/signingkey.yaml",
	} {
		lines := strings.Split(string(read(t, "charts", file)), "\n")
		for i, line := range lines {
			if !rule.MatchString(line) {
				continue
			}
			looked++
			if before := strings.TrimSpace(lines[i-1]); !strings.HasPrefix(before, "#") {
				t.Errorf("%s:%d: a rule without a reason", file, i+1)
			}
		}
	}
	if looked < 25 {
		t.Errorf("%d rules were looked at", looked)
	}
}
