package webhook

import (
	"os"
	"strings"
	"testing"
)

func TestEveryRuleIsExplained(t *testing.T) {
	text, err := os.ReadFile("../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range Rules() {
		if !strings.Contains(string(text), "\n### "+r.ID+"\n**") {
			t.Errorf("docs/rules.md has no entry for %s", r.ID)
		}
		if r.Anchor() != "#"+strings.ToLower(r.ID) || r.Summary == "" {
			t.Errorf("%s: anchor %q, summary %q", r.ID, r.Anchor(), r.Summary)
		}
	}
	ofRules, _, _ := strings.Cut(string(text), "\n## What only an audit can judge\n")
	if got := strings.Count(ofRules, "\n### BH-"); got != len(Rules()) {
		t.Errorf("docs/rules.md has %d entries for %d rules", got, len(Rules()))
	}
}
