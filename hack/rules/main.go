// Command rules writes the list of all rules in docs/rules.md from the code, and puts
// an example into each entry: the plain attack of the rule's row in the corpus,
// which the tests show to be refused.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/webhook"
)

const (
	begin = "<!-- example, written by hack/docs from the attack corpus -->\n"
	end   = "<!-- end of the example -->\n"

	beginList = "<!-- list, written by hack/docs from webhook/catalog.go -->\n"
	endList   = "<!-- end of the list -->\n"
)

func main() {
	if len(os.Args) != 3 { //nolint:mnd // it and its two arguments
		fmt.Fprintln(os.Stderr, "usage: rules CORPUS RULES.md")
		os.Exit(1)
	}
	if err := write(os.Stdout, os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "rules:", err)
		os.Exit(1)
	}
}

// write writes the document with the examples of today.
func write(w io.Writer, corpus, document string) error {
	raw, err := os.ReadFile(document) //nolint:gosec // G703: its caller says which
	if err != nil {
		return fmt.Errorf("read the rules: %w", err)
	}
	text := regexp.MustCompile(`(?s)\n`+regexp.QuoteMeta(begin)+`.*?`+regexp.QuoteMeta(end)).ReplaceAllString(string(raw), "")
	if text, err = withList(text); err != nil {
		return fmt.Errorf("%s: %w", document, err)
	}
	for _, rule := range webhook.Rules() {
		example, err := exampleOf(corpus, strings.TrimPrefix(rule.ID, "BH-"))
		if err != nil {
			return fmt.Errorf("%s: %w", rule.ID, err)
		}
		heading := "\n### " + rule.ID + "\n"
		at := strings.Index(text, heading)
		if at < 0 {
			return fmt.Errorf("%s has no entry %s", document, rule.ID)
		}
		at += len(heading)
		// The entry ends where the next begins, or a part of the document.
		after := strings.Index(text[at:], "\n##")
		if after < 0 {
			after = len(text) - at - 1
		}
		text = text[:at+after] + "\n" + example + text[at+after:]
	}
	if _, err := io.WriteString(w, text); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// withList is the text with the list of all rules at its place.
func withList(text string) (string, error) {
	before, rest, found := strings.Cut(text, beginList)
	_, after, ends := strings.Cut(rest, endList)
	if !found || !ends {
		return "", errors.New("it has no place for the list of rules")
	}
	var list strings.Builder
	list.WriteString("| rule | keeps |\n|---|---|\n")
	for _, rule := range webhook.Rules() {
		fmt.Fprintf(&list, "| [%s](%s) | %s |\n", rule.ID, rule.Anchor(), rule.Summary)
	}
	return before + beginList + list.String() + endList + after, nil
}

// header is what is read of a case's first document.
type header struct {
	Why string `json:"why"`
	How string `json:"how"`
}

// exampleOf is the plain attack of a row, as a block that can be opened.
func exampleOf(corpus, row string) (string, error) {
	raw, err := os.ReadFile(filepath.Join(corpus, row, "plain.yaml")) //nolint:gosec // G703: its caller says which
	if err != nil {
		return "", fmt.Errorf("read its plain attack: %w", err)
	}
	var h header
	var shown []string
	for i, document := range bytes.Split(raw, []byte("\n---\n")) {
		if i == 0 {
			if err := yaml.Unmarshal(document, &h); err != nil {
				return "", fmt.Errorf("read its plain attack: %w", err)
			}
			continue
		}
		var fields map[string]any
		if err := utilyaml.Unmarshal(document, &fields); err != nil {
			return "", fmt.Errorf("read its plain attack: %w", err)
		}
		if fields["setup"] == nil && fields["then"] == nil {
			shown = append(shown, strings.TrimSpace(string(document)))
		}
	}
	if len(shown) == 0 {
		return "", errors.New("its plain attack has no object under test")
	}
	return fmt.Sprintf("%s<details><summary>Refused: %s (%s)</summary>\n\n```yaml\n%s\n```\n</details>\n%s",
		begin, h.Why, h.How, readable(strings.Join(shown, "\n---\n")), end), nil
}

var placeholder = regexp.MustCompile(`\$\(([A-Z0-9_]+)\)`)

// names of what every case finds, as a reader knows them: team-b attacks team-a.
var names = map[string]string{
	"CASE": "example", "ATTACKER": "team-b", "VICTIM": "team-a", "TWIN": "team-a", "TOKENS": "bulkhead-tokens",
	"DRIVER": "pxd.portworx.com", "CLASS": "px-csi", "INTREE_CLASS": "px-intree", "SNAPSHOT_CLASS": "px-snapshots",
	"OWN_SECRET": "bulkhead-team-b", "VICTIM_SECRET": "bulkhead-team-a",
	"SHARING_A": "payments-a", "SHARING_B": "payments-b", "SHARED_TENANT": "payments",
	"VICTIM_UID": "0b1d3a52-5a0c-4f3e-9d2f-0c6f8a1b2c3d",
}

func readable(text string) string {
	return placeholder.ReplaceAllStringFunc(text, func(found string) string {
		name := placeholder.FindStringSubmatch(found)[1]
		if is, known := names[name]; known {
			return is
		}
		for prefix, whose := range map[string]string{"OWN_": "team-b", "VICTIM_": "team-a", "SHARED_": "payments"} {
			if what, of := strings.CutPrefix(name, prefix); of {
				return strings.ReplaceAll(strings.ToLower(what), "_", "-") + "-of-" + whose
			}
		}
		return strings.ToLower(name)
	})
}
