package adopt

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/pmezard/go-difflib/difflib"

	"github.com/bulkhead-dev/bulkhead/plugin/output"
)

// applied is what kubectl apply keeps of the manifest: the whole of it once more.
const applied = "kubectl.kubernetes.io/last-applied-configuration"

// diffOf shows, as diff -u does, what changes between two objects, without what
// the API server writes.
func diffOf(before, after any) (string, error) {
	old, err := shown(before)
	if err != nil {
		return "", err
	}
	is, err := shown(after)
	if err != nil {
		return "", err
	}
	const context = 2
	text, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: difflib.SplitLines(old), B: difflib.SplitLines(is), FromFile: "now", ToFile: "adopted", Context: context,
	})
	if err != nil {
		return "", fmt.Errorf("diff: %w", err)
	}
	if text == "" {
		return "", nil
	}
	return indent(text), nil
}

// shown is an object in YAML as its author would have written it.
func shown(object any) (string, error) {
	text, err := json.Marshal(object)
	if err != nil {
		return "", fmt.Errorf("encode: %w", err)
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		return "", fmt.Errorf("decode: %w", err)
	}
	delete(fields, "status")
	if metadata, ok := fields["metadata"].(map[string]any); ok {
		for _, of := range []string{"uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "name", "finalizers"} {
			delete(metadata, of)
		}
		if annotations, ok := metadata["annotations"].(map[string]any); ok {
			delete(annotations, applied)
		}
	}
	var out strings.Builder
	if err := output.Print(&out, output.YAML, fields, nil); err != nil {
		return "", err
	}
	return out.String(), nil
}
