package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/webhook"
)

// registration is the name of the webhook configurations, and with it begin those
// of the policies.
const registration = "bulkhead"

const admissionGroup = "admissionregistration.k8s.io/v1"

// admission judges whether the webhook is asked about everything, and what it was
// told to let pass.
func (s *scan) admission(ctx context.Context) error {
	s.exemptions()
	client := s.api.AdmissionregistrationV1()
	mutating, err := client.MutatingWebhookConfigurations().Get(ctx, registration, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("look at the webhook configurations: %w", err)
	}
	var asked []call
	if err == nil {
		for _, w := range mutating.Webhooks {
			asked = append(asked, call{w.Name, w.FailurePolicy, len(w.MatchConditions), w.ClientConfig.CABundle, w.NamespaceSelector, w.ObjectSelector})
		}
	}
	s.configuration("MutatingWebhookConfiguration", asked)
	validating, err := client.ValidatingWebhookConfigurations().Get(ctx, registration, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("look at the webhook configurations: %w", err)
	}
	asked = nil
	if err == nil {
		for _, w := range validating.Webhooks {
			asked = append(asked, call{w.Name, w.FailurePolicy, len(w.MatchConditions), w.ClientConfig.CABundle, w.NamespaceSelector, w.ObjectSelector})
		}
	}
	s.configuration("ValidatingWebhookConfiguration", asked)
	return s.policies(ctx)
}

// again is how what the chart makes is made again.
const again = "helm upgrade the bulkhead release"

// call is how the API server asks a webhook, of either kind.
type call struct {
	name                    string
	failurePolicy           *admissionregistrationv1.FailurePolicyType
	conditions              int
	caBundle                []byte
	ofNamespaces, ofObjects *metav1.LabelSelector
}

// dispensable is the webhook that may be passed over: it is asked about what the
// driver's own provisioner makes, which is let in while no webhook answers.
const dispensable = "provisionedvolumes."

// configuration judges one webhook configuration.
func (s *scan) configuration(kind string, asked []call) {
	object := Object{APIVersion: admissionGroup, Kind: kind, Name: registration}
	if len(asked) == 0 {
		s.found(Finding{Rule: checkExempt, Severity: High, Object: object, Message: "the API server does not ask the webhook", Mend: again})
		return
	}
	s.checked(kind, 1)
	for i, w := range asked {
		field := fmt.Sprintf("webhooks[%d]", i)
		mayIgnore := strings.HasPrefix(w.name, dispensable) && w.conditions > 0
		if w.failurePolicy != nil && *w.failurePolicy != admissionregistrationv1.Fail && !mayIgnore {
			s.found(Finding{
				Rule: checkExempt, Severity: High, Object: object, Fields: []string{field + ".failurePolicy"},
				Message: "while the webhook does not answer everything is let in", Mend: "set it to Fail: " + again,
			})
		}
		if len(w.caBundle) == 0 {
			s.found(Finding{
				Rule: checkExempt, Severity: Medium, Object: object, Fields: []string{field + ".clientConfig.caBundle"},
				Message: "the API server cannot verify the webhook", Mend: "see the log of the Bulkhead webhook: it writes the bundle",
			})
		}
		if !s.ownNamespacesAlone(w.ofNamespaces) {
			s.found(leavesOut(object, field+".namespaceSelector"))
		}
		if !selectsAll(w.ofObjects) {
			s.found(leavesOut(object, field+".objectSelector"))
		}
	}
}

func leavesOut(object Object, field string) Finding {
	return Finding{
		Rule: checkExempt, Severity: High, Object: object, Fields: []string{field},
		Message: "the webhook is not asked about objects that the selector leaves out, and who labels them decides", Mend: again,
	}
}

func selectsAll(selector *metav1.LabelSelector) bool {
	return selector == nil || len(selector.MatchLabels)+len(selector.MatchExpressions) == 0
}

// ownNamespacesAlone reports whether a selector leaves out nothing but Bulkhead's
// own namespaces, by the label that the API server itself sets.
func (s *scan) ownNamespacesAlone(selector *metav1.LabelSelector) bool {
	if selectsAll(selector) {
		return true
	}
	own := []string{s.cfg.Installation.Namespace, s.cfg.Installation.Layout.TokenNamespace}
	foreign := func(name string) bool { return !slices.Contains(own, name) }
	return len(selector.MatchLabels) == 0 && !slices.ContainsFunc(selector.MatchExpressions, func(e metav1.LabelSelectorRequirement) bool {
		return e.Key != corev1.LabelMetadataName || e.Operator != metav1.LabelSelectorOpNotIn || slices.ContainsFunc(e.Values, foreign)
	})
}

// policies judges whether those of the first layer still refuse.
func (s *scan) policies(ctx context.Context) error {
	client := s.api.AdmissionregistrationV1()
	policies, err := client.ValidatingAdmissionPolicies().List(ctx, metav1.ListOptions{})
	if apierrors.IsNotFound(err) {
		return nil // before Kubernetes 1.30 there are none, and the webhook does it all
	}
	if err != nil {
		return fmt.Errorf("look at the admission policies: %w", err)
	}
	bindings, err := client.ValidatingAdmissionPolicyBindings().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("look at the admission policies: %w", err)
	}
	denies := map[string]bool{}
	for _, b := range bindings.Items {
		for _, action := range b.Spec.ValidationActions {
			if action == admissionregistrationv1.Deny && b.Spec.MatchResources == nil {
				denies[b.Spec.PolicyName] = true
			}
		}
	}
	for _, p := range policies.Items {
		if !strings.HasPrefix(p.Name, registration+"-") {
			continue
		}
		s.checked("ValidatingAdmissionPolicy", 1)
		object := Object{APIVersion: admissionGroup, Kind: "ValidatingAdmissionPolicy", Name: p.Name}
		if p.Spec.FailurePolicy != nil && *p.Spec.FailurePolicy != admissionregistrationv1.Fail {
			s.found(Finding{
				Rule: checkExempt, Severity: Medium, Object: object, Fields: []string{"spec.failurePolicy"},
				Message: "what the policy cannot judge is let in", Mend: "set it to Fail: helm upgrade the bulkhead release",
			})
		}
		if !denies[p.Name] && !s.notEnforced(webhook.Enforce) {
			s.found(Finding{
				Rule: checkExempt, Severity: Medium, Object: object,
				Message: "no binding makes the policy deny everywhere", Mend: "helm upgrade the bulkhead release",
			})
		}
	}
	return nil
}

// notEnforced reports whether some rule has another mode.
func (s *scan) notEnforced(mode webhook.Mode) bool {
	for _, text := range s.cfg.Installation.Rules.Policy.Modes {
		if !strings.HasSuffix(text, "="+string(mode)) {
			return true
		}
	}
	return false
}

// exemptions are what the installation was told to let pass.
func (s *scan) exemptions() {
	policy := s.cfg.Installation.Rules.Policy
	object := Object{APIVersion: "v1", Kind: "ConfigMap", Namespace: s.cfg.Installation.Namespace, Name: installationName}
	let := func(severity Severity, value, message string) {
		s.found(Finding{
			Rule: checkExempt, Severity: severity, Object: object, Message: message,
			Mend: "take it out of the values under webhook.rules." + value + ", if it is not needed any more",
		})
	}
	for _, text := range policy.Modes {
		rule, mode, _ := strings.Cut(text, "=")
		if webhook.Mode(mode) != webhook.Enforce {
			let(Medium, "modes", fmt.Sprintf("rule %s is in mode %s: it refuses nothing", rule, mode))
		}
	}
	for _, namespace := range policy.ExemptNamespaces {
		let(Low, "exemptNamespaces", "no rule judges the objects in namespace "+namespace)
	}
	for _, text := range policy.ExemptUsers {
		at := strings.LastIndex(text, "=")
		let(Low, "exemptUsers", fmt.Sprintf("user %s is not judged by %s", text[:max(at, 0)], text[at+1:]))
	}
	for _, kind := range policy.SourceKinds {
		let(Low, "dataSourceKinds", fmt.Sprintf("claims may take their data from a %s, whose populator acts with rights of its own", kind))
	}
}
