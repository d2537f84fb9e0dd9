package webhook

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// Denial is one reason why an object is refused. It is shown to whoever wrote
// the object, so it tells nothing of other tenants: not whether their objects
// exist, nor their names.
type Denial struct {
	// Rule is the id of the rule, e.g. "BH-A1"; docs/rules.md explains each.
	Rule string
	// Field is the path of the field at fault, e.g. "spec.dataSourceRef.namespace".
	Field string
	// Message says what is wrong.
	Message string
	// Mend is what to write instead.
	Mend string
}

// at is the denial for a field.
func (d Denial) at(field string) Denial {
	d.Field = field
	return d
}

func (d Denial) String() string {
	return d.Rule + ": " + d.Field + ": " + d.Message + "; " + d.Mend
}

// verdict is what all rules say of an object.
type verdict struct {
	// denied refuse it, warned would if their rules were enforced.
	denied, warned []Denial
	// exempt are the rules that were not asked.
	exempt []string
	// undecided is the rule that could not decide, and err why.
	undecided string
	err       error
}

func (v *verdict) decision() string {
	switch {
	case len(v.denied) > 0:
		return decisionDenied
	case v.err != nil:
		return decisionUndecided
	case len(v.warned) > 0:
		return decisionWarned
	}
	return decisionAllowed
}

// response tells all reasons at once, in a stable order.
func (v *verdict) response() admission.Response {
	var response admission.Response
	switch v.decision() {
	case decisionDenied:
		response = refusal(v.denied)
	case decisionUndecided:
		response = undecided(v.undecided)
	default:
		response = admission.Allowed("")
	}
	for _, d := range sorted(v.warned) {
		response.Warnings = append(response.Warnings, d.String())
	}
	if len(v.denied)+len(v.warned)+len(v.exempt) == 0 {
		return response
	}
	response.AuditAnnotations = map[string]string{}
	for key, rules := range map[string][]string{"denied-by": rulesOf(v.denied), "warned-by": rulesOf(v.warned), "exempt-from": v.exempt} {
		if len(rules) > 0 {
			response.AuditAnnotations[key] = strings.Join(rules, ",")
		}
	}
	return response
}

func refusal(denials []Denial) admission.Response {
	var lines []string
	var causes []metav1.StatusCause
	for _, d := range sorted(denials) {
		lines = append(lines, d.String())
		causes = append(causes, metav1.StatusCause{
			Type: metav1.CauseType(d.Rule), Field: d.Field, Message: d.Message + "; " + d.Mend,
		})
	}
	response := admission.Denied(strings.Join(lines, "\n"))
	response.Result.Code = http.StatusForbidden
	response.Result.Details = &metav1.StatusDetails{Causes: causes}
	return response
}

const (
	// reasonsShown bounds what is told of one rule, and textShown each part of it:
	// an object may have ninety thousand wrong keys, and a key may be a megabyte.
	reasonsShown = 10
	textShown    = 400
)

// bounded are as many reasons of one rule as are shown.
func bounded(denials []Denial) []Denial {
	more := len(denials) - reasonsShown
	if more > 0 {
		denials = append(slices.Clone(denials[:reasonsShown]), Denial{
			Field: "…", Message: fmt.Sprintf("and %d more of this kind", more), Mend: denials[0].Mend,
		})
	}
	for i := range denials {
		d := &denials[i]
		d.Field, d.Message, d.Mend = shortened(d.Field), shortened(d.Message), shortened(d.Mend)
	}
	return denials
}

func shortened(text string) string {
	if len(text) <= textShown {
		return text
	}
	return strings.ToValidUTF8(text[:textShown], "") + "…"
}

func sorted(denials []Denial) []Denial {
	if len(denials) == 0 {
		return nil // as of most objects
	}
	return slices.SortedFunc(slices.Values(denials), func(a, b Denial) int {
		return cmp.Or(cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Field, b.Field))
	})
}

// rulesOf are the rules of the denials, each once, sorted.
func rulesOf(denials []Denial) []string {
	var rules []string
	for _, d := range sorted(denials) {
		rules = append(rules, d.Rule)
	}
	return slices.Compact(rules)
}
