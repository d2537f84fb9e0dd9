package webhook

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

func TestNewPolicyRefusesWhatItDoesNotKnow(t *testing.T) {
	for name, p := range map[string]Policy{
		"a rule that is not":               {Modes: []string{"BH-Z9=warn"}},
		"a mode that is not":               {Modes: []string{"BH-A1=maybe"}},
		"a rule without a mode":            {Modes: []string{"BH-A1"}},
		"a namespace without a name":       {ExemptNamespaces: []string{""}},
		"a user without rules":             {ExemptUsers: []string{"velero"}},
		"a user with an empty list":        {ExemptUsers: []string{"velero="}},
		"a user with a rule that is not":   {ExemptUsers: []string{"velero=BH-C1,all"}},
		"rules without a user":             {ExemptUsers: []string{"=BH-C1"}},
		"a source kind without a group":    {SourceKinds: []string{"Thing"}},
		"a way to tune that is not":        {Tunable: "some"},
		"a way to treat Stork that is not": {Stork: "maybe"},
	} {
		if _, err := newPolicy(p); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func gateOf(t *testing.T, p Policy) *gate {
	t.Helper()
	l := world(t)
	var err error
	if l.policy, err = newPolicy(p); err != nil {
		t.Fatal(err)
	}
	return &gate{lookup: l, metrics: newMetrics(prometheus.NewRegistry())}
}

// attack is a claim that rules A1 and A4 refuse.
func attack(t *testing.T) admission.Request {
	t.Helper()
	req := request(t, claim(all(from("b"), annotate("parent", "v"))), nil, "mallory=x")
	req.Kind = metav1.GroupVersionKind{Version: "v1", Kind: "PersistentVolumeClaim"}
	return req
}

func TestModesAndExemptions(t *testing.T) {
	for name, c := range map[string]struct {
		policy                 Policy
		denied, warned, exempt string
	}{
		"all enforced":                {Policy{}, "BH-A1,BH-A4", "", ""},
		"one warns":                   {Policy{Modes: []string{"BH-A4=warn"}}, "BH-A1", "BH-A4", ""},
		"one is off":                  {Policy{Modes: []string{"BH-A4=off"}}, "BH-A1", "", ""},
		"all warn":                    {Policy{Modes: []string{"BH-A4=warn", "BH-A1=warn"}}, "", "BH-A1,BH-A4", ""},
		"the user, from one rule":     {Policy{ExemptUsers: []string{"mallory=x=BH-A4"}}, "BH-A1", "", "BH-A4"},
		"another user":                {Policy{ExemptUsers: []string{"mallory=BH-A4"}}, "BH-A1,BH-A4", "", ""},
		"another namespace":           {Policy{ExemptNamespaces: []string{"b"}}, "BH-A1,BH-A4", "", ""},
		"the namespace, from all":     {Policy{ExemptNamespaces: []string{"a"}}, "", "", "*"},
		"off beats an exemption":      {Policy{Modes: []string{"BH-A4=off"}, ExemptUsers: []string{"mallory=x=BH-A4"}}, "BH-A1", "", ""},
		"the last word about a rule":  {Policy{Modes: []string{"BH-A4=off", "BH-A4=enforce"}}, "BH-A1,BH-A4", "", ""},
		"an exemption beats a warner": {Policy{Modes: []string{"BH-A4=warn"}, ExemptUsers: []string{"mallory=x=BH-A4"}}, "BH-A1", "", "BH-A4"},
	} {
		t.Run(name, func(t *testing.T) {
			g := gateOf(t, c.policy)
			response := g.validate(t.Context(), attack(t))
			annotations := response.AuditAnnotations
			if response.Allowed != (c.denied == "") || annotations["denied-by"] != c.denied || annotations["warned-by"] != c.warned {
				t.Errorf("allowed %v, annotations %v", response.Allowed, annotations)
			}
			if got := annotations["exempt-from"]; got != c.exempt && (c.exempt != "*" || !strings.Contains(got, "BH-A1,BH-A2")) {
				t.Errorf("exempt from %q, want %q", got, c.exempt)
			}
			if got := len(response.Warnings); got != len(strings.FieldsFunc(c.warned, func(r rune) bool { return r == ',' })) {
				t.Errorf("%d warnings: %v", got, response.Warnings)
			}
			for _, rule := range strings.FieldsFunc(c.denied, func(r rune) bool { return r == ',' }) {
				if got := testutil.ToFloat64(g.metrics.denials.WithLabelValues(rule, string(Enforce))); got != 1 {
					t.Errorf("%s counted %v times", rule, got)
				}
			}
		})
	}
}

// The API server's policies come between injection and judgement, and would
// tell of BH-A4 alone: so all reasons are told before.
func TestAllReasonsComeAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		policy Policy
		denied string
	}{
		"enforced":         {Policy{}, "BH-A1,BH-A4"},
		"one warns":        {Policy{Modes: []string{"BH-A4=warn"}}, "BH-A1"},
		"both warn":        {Policy{Modes: []string{"BH-A1=warn", "BH-A4=warn"}}, ""},
		"both are off":     {Policy{Modes: []string{"BH-A1=off", "BH-A4=off"}}, ""},
		"exempt namespace": {Policy{ExemptNamespaces: []string{"a"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := gateOf(t, c.policy)
			response := g.mutate(t.Context(), attack(t))
			if response.Allowed != (c.denied == "") || response.AuditAnnotations["denied-by"] != c.denied {
				t.Errorf("allowed %v, annotations %v", response.Allowed, response.AuditAnnotations)
			}
			for _, rule := range []string{"BH-A1", "BH-A4"} {
				want := 0.0
				if strings.Contains(c.denied, rule) {
					want = 1
				}
				if got := testutil.ToFloat64(g.metrics.denials.WithLabelValues(rule, string(Enforce))); got != want {
					t.Errorf("%s counted %v times, want %v", rule, got, want)
				}
			}
		})
	}
	// What injection mends is no reason.
	mended := request(t, claim(annotate(tenancy.AuthSecretName, "b")), nil, "dev")
	mended.Kind = metav1.GroupVersionKind{Version: "v1", Kind: "PersistentVolumeClaim"}
	if response := gateOf(t, Policy{}).mutate(t.Context(), mended); !response.Allowed || len(response.Patches) == 0 {
		t.Errorf("refused what is to be written over: %+v", response.Result)
	}
}

func TestAnswersAreSortedAndSayWhereAndHow(t *testing.T) {
	response := gateOf(t, Policy{}).validate(t.Context(), attack(t))
	lines := strings.Split(response.Result.Message, "\n")
	if len(lines) != 2 || !slices.IsSorted(lines) || response.Result.Code != http.StatusForbidden {
		t.Fatalf("%d: %q", response.Result.Code, lines)
	}
	for i, want := range []string{"spec.dataSourceRef.namespace", "metadata.annotations[parent]"} {
		if cause := response.Result.Details.Causes[i]; cause.Field != want || !strings.Contains(cause.Message, "; ") {
			t.Errorf("cause %d is %+v", i, cause)
		}
	}
}

func TestAKindThatNobodyHandlesIsRefused(t *testing.T) {
	g := gateOf(t, Policy{})
	req := attack(t)
	req.Kind.Kind = "team-b-secret-kind"
	for _, response := range []admission.Response{g.mutate(t.Context(), req), g.validate(t.Context(), req)} {
		if response.Allowed || response.Result.Code != http.StatusBadRequest {
			t.Errorf("%+v", response.Result)
		}
	}
	if got := testutil.CollectAndCount(g.metrics.requests); got != 2 {
		t.Errorf("%d series: what a caller says must not be a label", got)
	}
}

func TestEveryRuleIsInTheCatalogAndIsAsked(t *testing.T) {
	asked := map[string]bool{}
	for kind, r := range reviewers {
		for _, id := range r.ruleIDs() {
			asked[id] = true
			if !known(id) {
				t.Errorf("%s: rule %s is not in the catalog", kind, id)
			}
		}
	}
	for _, r := range Rules() {
		if !asked[r.ID] {
			t.Errorf("no kind asks rule %s", r.ID)
		}
	}
	if !slices.IsSortedFunc(Rules(), func(a, b Rule) int { return strings.Compare(a.ID, b.ID) }) {
		t.Error("the catalog is not sorted")
	}
}
