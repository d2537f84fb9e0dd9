package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// row is one thing that was measured, and what it is compared with.
type row struct {
	what, against string
	unit          string
	// is and other are what each round measured, in the same order.
	is, other []float64
	// target is the most that the ratio may be, zero for none.
	target float64
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
	return fmt.Sprintf("%.3g (%.3g … %.3g)", s.median, s.least, s.most)
}

// ratios are those of each round: what a noisy machine does to one of the two it
// does to the other as well.
func (r row) ratios() spread {
	ratios := make([]float64, len(r.is))
	for i := range r.is {
		ratios[i] = r.is[i] / r.other[i]
	}
	return spreadOf(ratios)
}

func (r row) verdict() string {
	switch ratio := r.ratios().median; {
	case r.target == 0:
		return ""
	case ratio <= r.target:
		return fmt.Sprintf("≤ %.3g: met", r.target)
	default:
		return fmt.Sprintf("≤ %.3g: **missed**", r.target)
	}
}

// table is in Markdown: medians, and in brackets the least and the most.
func table(rows []row) string {
	var text strings.Builder
	text.WriteString("| what | unit | measured | against | measured | ratio | target |\n|---|---|---|---|---|---|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&text, "| %s | %s | %s | %s | %s | %s | %s |\n",
			r.what, r.unit, spreadOf(r.is), r.against, spreadOf(r.other), r.ratios(), r.verdict())
	}
	return text.String()
}

const (
	begin = "<!-- written by make bench -->\n"
	end   = "<!-- end of what make bench writes -->\n"
)

// write puts the table at its place in the document.
func write(path, here, table string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the document: %w", err)
	}
	before, rest, found := strings.Cut(string(raw), begin)
	_, after, ends := strings.Cut(rest, end)
	if !found || !ends {
		return fmt.Errorf("%s has no place for the table: %q and %q", path, begin, end)
	}
	text := before + begin + here + "\n\n" + table + end + after
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return fmt.Errorf("write the document: %w", err)
	}
	return nil
}
