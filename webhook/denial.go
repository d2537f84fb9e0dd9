package webhook

import (
	"cmp"
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

func (d Denial) String() string {
	return d.Rule + ": " + d.Field + ": " + d.Message + "; " + d.Mend
}

// answer turns the denials of all rules into one admission response: all
// reasons at once, in a stable order.
func answer(denials []Denial) admission.Response {
	if len(denials) == 0 {
		return admission.Allowed("")
	}
	slices.SortFunc(denials, func(a, b Denial) int {
		return cmp.Or(cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Field, b.Field))
	})
	var lines, rules []string
	var causes []metav1.StatusCause
	for _, d := range denials {
		lines = append(lines, d.String())
		rules = append(rules, d.Rule)
		causes = append(causes, metav1.StatusCause{
			Type: metav1.CauseType(d.Rule), Field: d.Field, Message: d.Message + "; " + d.Mend,
		})
	}
	response := admission.Denied(strings.Join(lines, "\n"))
	response.Result.Code = http.StatusForbidden
	response.Result.Details = &metav1.StatusDetails{Causes: causes}
	response.AuditAnnotations = map[string]string{"denied-by": strings.Join(slices.Compact(rules), ",")}
	return response
}
