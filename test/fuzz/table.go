package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/bulkhead-dev/bulkhead/test/documents"
	"github.com/bulkhead-dev/bulkhead/test/measured"
)

// row is what came of one target.
type row struct {
	pkg, name string
	took      time.Duration
	// processor is how much processor time it got meanwhile.
	processor  time.Duration
	executions int
	// fresh are the inputs of this run that reached what none had before, corpus all
	// there are.
	fresh, corpus int
	coverage      float64 // of the package's statements, in percent
	// failed is whether an input fails, unconfirmed whether one did and does not when
	// it is tried again.
	failed, unconfirmed bool
	stamp               string
}

const heading = "| package | target | ran for | processor | executions | new inputs | inputs | statements of the package | result | when, commit |\n" +
	"|---|---|---|---|---|---|---|---|---|---|\n"

func (r row) key() string { return fmt.Sprintf("| %s | %s |", r.pkg, r.name) }

func (r row) String() string {
	result := "nothing found"
	switch {
	case r.failed:
		result = "**failed**"
	case r.unconfirmed:
		result = "ended early: an input hung, and does not again"
	}
	return fmt.Sprintf("%s %s | %s | %d | %d | %d | %.1f %% | %s | %s |",
		r.key(), r.took.Round(time.Second), r.processor.Round(time.Second), r.executions, r.fresh, r.corpus, r.coverage, result, r.stamp)
}

// keep puts the row into the table of a document. Targets that are not run again
// keep theirs, those that are no more lose it.
func keep(document string, all []target, fresh row) error {
	machine, err := measured.Machine()
	if err != nil {
		return err
	}
	return documents.Rewrite(document, documents.WrittenBy("make fuzz"), func(old string) (string, error) {
		var text strings.Builder
		text.WriteString("On " + machine + ".\n\n" + heading)
		for _, t := range all {
			key := row{pkg: t.pkg, name: t.name}.key()
			if key == fresh.key() {
				text.WriteString(fresh.String() + "\n")
				continue
			}
			for line := range strings.Lines(old) {
				if strings.HasPrefix(line, key) {
					text.WriteString(line)
				}
			}
		}
		return text.String(), nil
	})
}
