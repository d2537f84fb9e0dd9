// Command selectors reads PromQL expressions, a JSON list of strings, from its
// standard input and prints what series each asks for: a list of lists, in the
// order of the expressions, of lists of matchers. It fails where one does not
// parse.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/prometheus/prometheus/promql/parser"
)

// matcher is one of Prometheus': the name of the metric is the label __name__.
type matcher struct {
	Label string `json:"label"`
	// Type is =, !=, =~ or !~.
	Type  string `json:"type"`
	Value string `json:"value"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	var expressions []string
	if err := json.NewDecoder(os.Stdin).Decode(&expressions); err != nil {
		return err
	}
	var failures []error
	found := make([][][]matcher, len(expressions))
	for i, text := range expressions {
		expression, err := parser.NewParser(parser.Options{}).ParseExpr(text)
		if err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", text, err))
			continue
		}
		for _, selector := range parser.ExtractSelectors(expression) {
			matchers := make([]matcher, len(selector))
			for j, m := range selector {
				matchers[j] = matcher{m.Name, m.Type.String(), m.Value}
			}
			found[i] = append(found[i], matchers)
		}
	}
	if err := errors.Join(failures...); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(found)
}
