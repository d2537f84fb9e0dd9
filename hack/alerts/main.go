// Command alerts puts what is exact about each alert into docs/alerts.md: the
// charts' rule files say when it fires, how bad it is and what people get to read.
package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"
)

const (
	begin = "<!-- written by hack/docs from the chart's files/alerts.yaml -->\n"
	end   = "<!-- end of what is written -->\n"
)

func main() {
	const least = 3
	if len(os.Args) < least {
		fmt.Fprintln(os.Stderr, "usage: alerts ALERTS.yaml… ALERTS.md")
		os.Exit(1)
	}
	last := len(os.Args) - 1
	if err := write(os.Stdout, os.Args[1:last], os.Args[last]); err != nil {
		fmt.Fprintln(os.Stderr, "alerts:", err)
		os.Exit(1)
	}
}

// rule is an alert as a rule file of Prometheus has it.
type rule struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	For         string            `json:"for"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// write writes the document with the alerts of today.
func write(w io.Writer, files []string, document string) error {
	raw, err := os.ReadFile(document) //nolint:gosec // G703: its caller says which
	if err != nil {
		return fmt.Errorf("read the document: %w", err)
	}
	text := regexp.MustCompile(`(?s)`+regexp.QuoteMeta(begin)+`.*?`+regexp.QuoteMeta(end)).ReplaceAllString(string(raw), "")
	for _, file := range files {
		rules, err := read(file)
		if err != nil {
			return err
		}
		for _, r := range rules {
			heading := "\n### " + r.Alert + "\n"
			if !strings.Contains(text, heading) {
				return fmt.Errorf("%s has no section %s", document, r.Alert)
			}
			text = strings.Replace(text, heading, heading+begin+r.section()+end, 1)
		}
	}
	if _, err := io.WriteString(w, text); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

func read(file string) (rules []rule, err error) {
	raw, err := os.ReadFile(file) //nolint:gosec // G703: its caller says which
	if err != nil {
		return nil, fmt.Errorf("read the rules: %w", err)
	}
	var content struct {
		Groups []struct {
			Rules []rule `json:"rules"`
		} `json:"groups"`
	}
	if err := yaml.Unmarshal(raw, &content); err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	for _, group := range content.Groups {
		for _, r := range group.Rules {
			if r.Alert != "" {
				rules = append(rules, r)
			}
		}
	}
	return rules, nil
}

// section is what people get to read, and when.
func (r rule) section() string {
	when := "at once"
	if r.For != "" {
		when = "after " + r.For
	}
	return fmt.Sprintf("*%s, %s:* %s\n```promql\n%s\n```\n", r.Labels["severity"], when, r.Annotations["summary"], strings.TrimSpace(r.Expr))
}
