package audit

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/plugin/output"
)

// Print prints a report for people.
func (r *Report) Print(w io.Writer) error {
	var checked []string
	for _, kind := range slices.Sorted(maps.Keys(r.Checked)) {
		checked = append(checked, fmt.Sprintf("%d %s", r.Checked[kind], kind))
	}
	fmt.Fprintf(w, "Checked: %s\n", strings.Join(checked, ", "))
	for _, what := range r.Unchecked {
		fmt.Fprintf(w, "%s %s\n", output.Paint(w, output.Doubtful, "Not checked:"), output.Line(what))
	}
	if len(r.Findings) == 0 {
		fmt.Fprintln(w, output.Paint(w, output.Good, "Nothing found."))
		return nil
	}
	count := map[Severity]int{}
	for _, f := range r.Findings {
		count[f.Severity]++
	}
	var counts []string
	for _, severity := range slices.Backward(order) {
		if n := count[severity]; n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, severity))
		}
	}
	fmt.Fprintf(w, "Found: %s\n\n", strings.Join(counts, ", "))
	table := output.NewColumns(w, "SEVERITY", "RULE", "OBJECT", "FIELD", "WHAT", "MEND")
	for _, f := range r.Findings {
		table.Row(string(f.Severity), f.Rule, f.Object.String(), fieldsOf(f), f.Message, f.Mend)
	}
	return table.Flush()
}

// fieldsOf is the first field at fault, and how many more.
func fieldsOf(f Finding) string {
	switch n := len(f.Fields); n {
	case 0:
		return ""
	case 1:
		return f.Fields[0]
	default:
		return fmt.Sprintf("%s and %d more", f.Fields[0], n-1)
	}
}
