package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/test/documents"
)

// row is one thing that was measured, and what it is compared with.
type row struct {
	what, against string
	unit          string
	// is and other are what each round measured, in the same order; other is empty
	// where there is nothing to compare with.
	is, other []float64
	// target is the most that the ratio may be, limit the most that is may be, in its
	// unit; zero for none.
	target, limit float64
}

// spread is a median with what lies around it.
type spread struct{ median, least, most float64 }

func spreadOf(values []float64) spread {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	median := sorted[middle]
	if len(sorted)%2 == 0 {
		median = (sorted[middle-1] + median) / 2 //nolint:mnd // the mean of the two in the middle
	}
	return spread{median, sorted[0], sorted[len(sorted)-1]}
}

func (s spread) String() string {
	return strings.ReplaceAll(fmt.Sprintf("%.3g (%.3g … %.3g)", s.median, s.least, s.most), "+Inf", "∞")
}

// ratios are those of each round: what a noisy machine does to one of the two it
// does to the other as well. What costs something is infinitely more than what costs
// nothing or less, as one that is added to something can; a round in which neither
// costs anything says nothing.
func (r row) ratios() spread {
	var ratios []float64
	for i := range r.is {
		switch {
		case r.other[i] > 0:
			ratios = append(ratios, r.is[i]/r.other[i])
		case r.is[i] > 0:
			ratios = append(ratios, math.Inf(1))
		}
	}
	if len(ratios) == 0 {
		ratios = append(ratios, math.Inf(1)) // nothing was shown
	}
	return spreadOf(ratios)
}

func (r row) verdict() string {
	var bounds, missed []string
	judge := func(bound string, is, most float64) {
		if most == 0 {
			return
		}
		bounds = append(bounds, bound)
		if is > most {
			missed = append(missed, bound)
		}
	}
	if len(r.other) > 0 {
		judge(fmt.Sprintf("≤ %.3g times", r.target), r.ratios().median, r.target)
	}
	judge(fmt.Sprintf("≤ %.4g %s", r.limit, r.unit), spreadOf(r.is).median, r.limit)
	switch {
	case len(bounds) == 0:
		return ""
	case len(missed) == 0:
		return strings.Join(bounds, ", ") + ": met"
	default:
		return strings.Join(missed, ", ") + ": **missed**"
	}
}

// table is in Markdown: medians, and in brackets the least and the most.
func table(rows []row) string {
	var text strings.Builder
	text.WriteString("| what | unit | measured | against | measured | ratio | target |\n|---|---|---|---|---|---|---|\n")
	for _, r := range rows {
		other, ratio := "", ""
		if len(r.other) > 0 {
			other, ratio = spreadOf(r.other).String(), r.ratios().String()
		}
		fmt.Fprintf(&text, "| %s | %s | %s | %s | %s | %s | %s |\n", r.what, r.unit, spreadOf(r.is), r.against, other, ratio, r.verdict())
	}
	return text.String()
}

// write puts the table at its place in the document, which says what writes it.
func write(path, by, here, table string) error {
	return documents.Rewrite(path, documents.WrittenBy(by), func(string) (string, error) { return here + "\n\n" + table, nil })
}
