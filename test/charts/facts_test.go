package charts

import (
	"slices"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
)

// longestReview is the longest that an API server waits for a webhook
// (validation.go of its admissionregistration).
const longestReview = 30 * time.Second

func TestDeploymentsOutlastNodesAndRollouts(t *testing.T) {
	for chart, names := range map[string][]string{"bulkhead": {"bulkhead-webhook", "bulkhead-sidecar"}, "bulkhead-issuer": {"bulkhead-issuer"}} {
		objects := objectsOf(t, chart, newestVersion, valueSets(t, chart)["plain"])
		for _, name := range names {
			deployment := as[appsv1.Deployment](t, find(objects, "Deployment", name))
			pod := deployment.Spec.Template
			if *deployment.Spec.Replicas != 2 {
				t.Errorf("%s: %d replicas", name, *deployment.Spec.Replicas)
			}
			selector, err := metav1.LabelSelectorAsSelector(deployment.Spec.Selector)
			if err != nil || !selector.Matches(labels.Set(pod.Labels)) {
				t.Errorf("%s: it does not select its own Pods (%v)", name, err)
			}
			var spread []string
			for _, constraint := range pod.Spec.TopologySpreadConstraints {
				selector, err := metav1.LabelSelectorAsSelector(constraint.LabelSelector)
				if err != nil || !selector.Matches(labels.Set(pod.Labels)) {
					t.Errorf("%s: the spread does not count its Pods (%v)", name, err)
				}
				spread = append(spread, constraint.TopologyKey)
			}
			if !slices.Equal(spread, []string{corev1.LabelHostname, corev1.LabelTopologyZone}) {
				t.Errorf("%s: spread over %v", name, spread)
			}
			if got, want := selectedBy(t, objects, pod), []string{"NetworkPolicy", "PodDisruptionBudget"}; !slices.Equal(got, want) {
				t.Errorf("%s: its Pods are selected by %v, want %v", name, got, want)
			}
		}
	}
}

// selectedBy are the kinds of the disruption budgets and network policies that
// select Pods.
func selectedBy(t *testing.T, objects []*unstructured.Unstructured, pod corev1.PodTemplateSpec) (by []string) {
	t.Helper()
	for _, object := range objects {
		var selector *metav1.LabelSelector
		switch object.GetKind() {
		case "PodDisruptionBudget":
			budget := as[policyv1.PodDisruptionBudget](t, object)
			if budget.Spec.MaxUnavailable == nil || budget.Spec.MaxUnavailable.IntValue() != 1 {
				t.Errorf("%s: want at most one that is away", describe(object))
			}
			selector = budget.Spec.Selector
		case "NetworkPolicy":
			selector = &as[networkingv1.NetworkPolicy](t, object).Spec.PodSelector
		default:
			continue
		}
		s, err := metav1.LabelSelectorAsSelector(selector)
		if err != nil {
			t.Fatal(err)
		}
		if s.Matches(labels.Set(pod.Labels)) {
			by = append(by, object.GetKind())
		}
	}
	slices.Sort(by)
	return by
}

// A webhook that ends first serves on while API servers still call it, and then
// finishes what has come in.
func TestTheWebhookEndsInPeace(t *testing.T) {
	objects := objectsOf(t, "bulkhead", newestVersion, valueSets(t, "bulkhead")["plain"])
	spec := as[appsv1.Deployment](t, find(objects, "Deployment", "bulkhead-webhook")).Spec
	var delay time.Duration
	for _, arg := range spec.Template.Spec.Containers[0].Args {
		if text, found := strings.CutPrefix(arg, "--shutdown-delay="); found {
			var err error
			if delay, err = time.ParseDuration(text); err != nil {
				t.Fatal(err)
			}
		}
	}
	if grace := time.Duration(*spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second; delay < time.Second || grace < delay+longestReview {
		t.Errorf("it serves on for %v and is killed after %v", delay, grace)
	}
	if rolling := spec.Strategy.RollingUpdate; rolling == nil || rolling.MaxUnavailable.IntValue() != 0 {
		t.Error("a roll-out takes a replica away before the next is ready")
	}
	if spec.Template.Spec.PriorityClassName != "system-cluster-critical" {
		t.Errorf("priority %q", spec.Template.Spec.PriorityClassName)
	}
}

func TestWebhooksFailClosedAndSpareOurNamespaces(t *testing.T) {
	objects := objectsOf(t, "bulkhead", newestVersion, valueSets(t, "bulkhead")["plain"])
	check := func(name string, failure *admissionv1.FailurePolicyType, timeout *int32, conditions []admissionv1.MatchCondition, selector *metav1.LabelSelector, rules []admissionv1.RuleWithOperations) {
		t.Helper()
		want := admissionv1.Fail
		// Volumes that our provisioner makes for a claim, which must go on.
		if strings.HasPrefix(name, "provisionedvolumes.") {
			want = admissionv1.Ignore
		}
		if *failure != want {
			t.Errorf("%s: failure policy %s, want %s", name, *failure, want)
		}
		if *timeout != 5 || len(conditions) == 0 {
			t.Errorf("%s: %d s, %d match conditions", name, *timeout, len(conditions))
		}
		for _, rule := range rules {
			if !slices.Contains(rule.Resources, "pods") && !slices.Contains(rule.Resources, "persistentvolumeclaims") {
				continue
			}
			s, err := metav1.LabelSelectorAsSelector(selector)
			if err != nil {
				t.Fatal(err)
			}
			for namespace, want := range map[string]bool{namespace: false, tokenNamespace: false, "team": true, "kube-system": true} {
				if got := s.Matches(labels.Set{corev1.LabelMetadataName: namespace}); got != want {
					t.Errorf("%s: objects in namespace %s are sent: %v", name, namespace, got)
				}
			}
		}
	}
	mutating := as[admissionv1.MutatingWebhookConfiguration](t, find(objects, "MutatingWebhookConfiguration", "bulkhead"))
	for _, w := range mutating.Webhooks {
		check(w.Name, w.FailurePolicy, w.TimeoutSeconds, w.MatchConditions, w.NamespaceSelector, w.Rules)
	}
	validating := as[admissionv1.ValidatingWebhookConfiguration](t, find(objects, "ValidatingWebhookConfiguration", "bulkhead"))
	for _, w := range validating.Webhooks {
		check(w.Name, w.FailurePolicy, w.TimeoutSeconds, w.MatchConditions, w.NamespaceSelector, w.Rules)
	}
	if len(mutating.Webhooks) < 8 || len(validating.Webhooks) < 12 {
		t.Errorf("%d that mutate, %d that validate", len(mutating.Webhooks), len(validating.Webhooks))
	}
}

// No key is in a manifest: Helm keeps each, and so does who keeps charts in git.
func TestNoKeyIsInAManifest(t *testing.T) {
	forEachSet(t, func(t trial) {
		for _, object := range objectsOf(t.T, t.chart, newestVersion, t.values) {
			// One that the product fills is empty.
			if object.GetKind() == "Secret" && (object.Object["data"] != nil || object.Object["stringData"] != nil) {
				t.Errorf("%s has data", describe(object))
			}
		}
	})
}
