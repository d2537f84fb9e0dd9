package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/bulkhead-dev/bulkhead/test/documents"
)

// report prints what was done and what came of it, and returns how many checks have
// failed. The run folder is removed if none has.
func (r *run) report(out io.Writer) (failed int) {
	fmt.Fprintf(out, "\nFaults: %d in %.0f s\n", len(r.faults), r.took.Seconds())
	for _, row := range r.recoveryRows() {
		fmt.Fprintf(out, "   %s\n", row)
	}
	for _, part := range []struct {
		what   string
		counts *counts
	}{{"Operations", &r.load.operations}, {"Attacks", &r.thieves.tries}} {
		fmt.Fprintf(out, "%s\n", part.what)
		for _, line := range part.counts.lines() {
			fmt.Fprintf(out, "   %s\n", line)
		}
	}
	fmt.Fprintln(out, "Checks")
	passed, failed := r.checks.report(out)
	if n := r.owners.doubles.left; n > 0 {
		fmt.Fprintf(out, "   note  %d volumes are left of names under which the storage cluster made two (docs/chaos.md)\n", n)
	}
	if failed > 0 {
		fmt.Fprintf(out, "logs of every component: %s\nthe same again: %s\n", r.site.env.Logs(), r.again())
	} else if r.dir == "" {
		_ = os.RemoveAll(r.site.env.Dir)
	}
	fmt.Fprintf(out, "chaos: %d checks passed, %d failed\n", passed, failed)
	return failed
}

// recoveryRows are rows of a table: the kind of fault, how many there were, and how
// long it took until all worked again.
func (r *run) recoveryRows() []string {
	came := map[string]int{}
	for _, f := range r.faults {
		came[f.Kind]++
	}
	var rows []string
	for _, kind := range kindNames() {
		if came[kind] == 0 {
			continue
		}
		median, worst, n := r.recoveries.of(kind)
		took := "| | "
		if n > 0 {
			took = fmt.Sprintf("| %.1f s | %.1f s ", median.Seconds(), worst.Seconds())
		}
		rows = append(rows, fmt.Sprintf("| %s | %d | %d %s|", kind, came[kind], n, took))
	}
	return rows
}

// Where the tables go.
var (
	runsPlace       = documents.Marks{Begin: "<!-- runs of make chaos -->", End: "<!-- end of the runs -->"}
	recoveriesPlace = documents.Marks{Begin: "<!-- recoveries of the last run -->", End: "<!-- end of the recoveries -->"}
)

// write adds a row to the runs of the document and puts the recoveries of this run
// in the place of those of another.
func (r *run) write() error {
	passed, failed := r.checks.report(io.Discard)
	row := fmt.Sprintf("| %d | %s | %s | %v | %d | %d | %d | %d of %d | %d of %d |\n",
		r.seed, time.Now().UTC().Format(time.DateOnly), r.commit, r.length, r.namespaces, len(r.faults),
		r.load.operations.total(done), r.thieves.tries.total(succeeded), r.attempts(), passed, passed+failed)
	err := documents.Rewrite(r.document, runsPlace, func(old string) (string, error) { return old + row, nil })
	if err != nil {
		return err
	}
	return documents.Rewrite(r.document, recoveriesPlace, func(string) (string, error) {
		return fmt.Sprintf("Seed %d.\n\n| fault | came | measured | median | worst |\n|---|---|---|---|---|\n%s\n",
			r.seed, strings.Join(r.recoveryRows(), "\n")), nil
	})
}

// attempts is how many attacks were tried.
func (r *run) attempts() int {
	sum := 0
	for _, outcome := range []string{refused, cutShort, succeeded} {
		sum += r.thieves.tries.total(outcome)
	}
	return sum
}
