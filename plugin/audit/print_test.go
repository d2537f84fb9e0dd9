package audit

import (
	"testing"

	"github.com/bulkhead-dev/bulkhead/plugin/output"
	"github.com/bulkhead-dev/bulkhead/plugin/output/outputtest"
)

func TestPrint(t *testing.T) {
	found := &Report{
		Cluster: "k14c1", Checked: map[string]int{"PersistentVolume": 3, "StorageClass": 1},
		Unchecked: []string{"the storage cluster: give --storage-token-file with a storage admin's token"},
		Findings: sorted([]Finding{
			{Rule: checkExempt, Severity: Low, Object: Object{APIVersion: "v1", Kind: "ConfigMap", Namespace: "bulkhead-system", Name: "bulkhead-installation"}, Message: "no rule judges the objects in namespace ci", Mend: "take it out"},
			{Rule: "BH-A4", Severity: Medium, Object: Object{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: "shop", Name: "evil\x1b[2Jname"}, Fields: []string{"metadata.annotations[parent]"}, Message: "reaches out", Mend: "remove it"},
			{Rule: "BH-C3", Severity: High, Object: Object{APIVersion: "v1", Kind: "PersistentVolume", Name: "pvc-1"}, Fields: []string{"spec.csi.nodePublishSecretRef", "spec.csi.nodeStageSecretRef"}, Message: "another Secret", Mend: "kubectl bulkhead adopt pv pvc-1"},
		}),
	}
	clean := &Report{Cluster: "k14c1", Checked: map[string]int{"PersistentVolume": 3}, Findings: []Finding{}}
	for file, c := range map[string]struct {
		report *Report
		format output.Format
	}{
		"found.txt": {found, output.Table}, "found.json": {found, output.JSON}, "found.yaml": {found, output.YAML},
		"clean.txt": {clean, output.Table}, "clean.json": {clean, output.JSON},
	} {
		outputtest.Golden(t, file, c.format, c.report, c.report.Print)
	}
}
