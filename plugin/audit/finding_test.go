package audit

import (
	"os"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/webhook"
)

func TestEveryCheckIsExplained(t *testing.T) {
	text, err := os.ReadFile("../../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	_, ofChecks, found := strings.Cut(string(text), "\n## What only an audit can judge\n")
	if !found {
		t.Fatal("docs/rules.md has no part for the audit")
	}
	for _, c := range Checks() {
		if !strings.Contains(ofChecks, "\n### "+c.ID+"\n") || c.Summary == "" {
			t.Errorf("docs/rules.md has no entry for %s", c.ID)
		}
	}
	if got := strings.Count(ofChecks, "\n### BH-"); got != len(Checks()) {
		t.Errorf("docs/rules.md has %d entries for %d checks", got, len(Checks()))
	}
}

func TestSeveritiesAreOfRulesThatThereAre(t *testing.T) {
	known := map[string]bool{}
	for _, r := range webhook.Rules() {
		known[r.ID] = true
	}
	for rule := range severities {
		if !known[rule] {
			t.Errorf("there is no rule %s", rule)
		}
	}
	if severityOf("BH-C1") != High || severityOf("BH-A4") != Medium || !High.AtLeast(Low) || Low.AtLeast(High) {
		t.Error("severities are out of order")
	}
}

func TestFieldsAtFaultForOneReasonAreOneFinding(t *testing.T) {
	object := Object{APIVersion: "v1", Kind: "PersistentVolume", Name: "pv"}
	denials := []webhook.Denial{
		{Rule: "BH-C1", Field: "spec.csi.volumeHandle", Message: "not yours", Mend: "x"},
		{Rule: "BH-C3", Field: "a", Message: "wrong Secret", Mend: "x"},
		{Rule: "BH-C3", Field: "b", Message: "wrong Secret", Mend: "x"},
		{Rule: "BH-C3", Field: "c", Message: "something else", Mend: "x"},
	}
	findings := merged(object, denials, func(d webhook.Denial) bool { return d.Rule == "BH-C1" })
	if len(findings) != 2 || len(findings[0].Fields) != 2 || findings[0].Mend != "kubectl bulkhead adopt pv pv" {
		t.Errorf("got %+v", findings)
	}
}

func TestKindsOfOthersAreReadByTheirMetadataAlone(t *testing.T) {
	raw := []byte(`{"metadata":{"name":"x","namespace":"n"},"spec":{"claimRef":"a string","csi":7,"source":[]}}`)
	if it, err := readItem("DataVolume", raw); err != nil || it.Metadata.Name != "x" {
		t.Errorf("%+v, %v", it, err)
	}
	if _, err := readItem(volumeKind, raw); err == nil {
		t.Error("a volume that is none was read")
	}
}
