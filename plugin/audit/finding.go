package audit

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/bulkhead-dev/bulkhead/webhook"
)

// Severity says how bad a finding is.
type Severity string

// Severities, the worst last. None is below all of them.
const (
	// None is no finding's.
	None Severity = "none"
	// Low is a decision of an admin that opens something: worth a look.
	Low Severity = "low"
	// Medium breaks a rule without reaching another tenant's data by itself.
	Medium Severity = "medium"
	// High reaches another tenant's data, or lets others reach it.
	High Severity = "high"
)

var order = []Severity{None, Low, Medium, High}

// Set is for pflag.
func (s *Severity) Set(text string) error {
	if !slices.Contains(order, Severity(text)) {
		return fmt.Errorf("want one of %v", order)
	}
	*s = Severity(text)
	return nil
}

// String is for pflag.
func (s *Severity) String() string { return string(*s) }

// Type is for pflag.
func (*Severity) Type() string { return "severity" }

// Severities are all of them, the worst last.
func Severities() []string {
	var all []string
	for _, s := range order {
		all = append(all, string(s))
	}
	return all
}

// AtLeast reports whether it is as bad as the other, or worse.
func (s Severity) AtLeast(other Severity) bool {
	return slices.Index(order, s) >= slices.Index(order, other)
}

// Object is what a finding is about.
type Object struct {
	// APIVersion and Kind as in Kubernetes; for a volume of the storage cluster
	// "openstorage" and "Volume".
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"`
	// Name of the object, or id of the volume.
	Name string `json:"name"`
}

func (o Object) String() string {
	if o.Namespace != "" {
		return o.Kind + " " + o.Namespace + "/" + o.Name
	}
	return o.Kind + " " + o.Name
}

// Finding is one thing that should be mended.
type Finding struct {
	// Rule is the id of the rule that it breaks: docs/rules.md.
	Rule     string   `json:"rule"`
	Severity Severity `json:"severity"`
	Object   Object   `json:"object"`
	// Fields are the paths of the fields at fault, none for the whole object.
	Fields  []string `json:"fields,omitempty"`
	Message string   `json:"message"`
	// Mend is what to do.
	Mend string `json:"mend"`
}

// Checks are the rules that only an audit can judge: the rows of docs/threats.md
// that no admission can stop.
func Checks() []webhook.Rule { return slices.Clone(checks) }

const (
	checkExempt  = "BH-E6"
	checkOrigin  = "BH-E7"
	checkOpen    = "BH-E8"
	checkReadOwn = "BH-E12"
	checkLocked  = "BH-E13"
	checkLeft    = "BH-E14"
)

var checks = []webhook.Rule{
	{ID: checkExempt, Summary: "the webhook judges everything and fails closed"},
	{ID: checkOrigin, Summary: "a volume or snapshot says whose it is"},
	{ID: checkOpen, Summary: "the storage cluster lets nobody in who is no tenant"},
	{ID: checkReadOwn, Summary: "tenants do not read their own tokens, and share nothing"},
	{ID: checkLocked, Summary: "nothing runs where the tokens lie"},
	{ID: checkLeft, Summary: "what a namespace left behind still has its token"},
}

// severities of the webhook's rules; those that are not named are Medium.
var severities = map[string]Severity{
	"BH-A1": High, "BH-A3": High, "BH-A6": High,
	"BH-B1": High, "BH-B2": High, "BH-B3": High, "BH-B4": High, "BH-B6": High,
	"BH-C1": High, "BH-C3": High, "BH-C4": High, "BH-C5": High, "BH-C6": High, "BH-C7": High,
	"BH-D1": High, "BH-D2": High, "BH-D3": High, "BH-D4": High, "BH-D5": High,
}

func severityOf(rule string) Severity {
	if s, ok := severities[rule]; ok {
		return s
	}
	return Medium
}

// sorted has the worst first, then by rule and object.
func sorted(findings []Finding) []Finding {
	return slices.SortedFunc(slices.Values(findings), func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(slices.Index(order, b.Severity), slices.Index(order, a.Severity)),
			cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Object.String(), b.Object.String()), slices.Compare(a.Fields, b.Fields))
	})
}
