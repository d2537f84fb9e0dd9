package plugin

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestKubectlCompletesThePlugin asks kubectl, as a shell does, with the plugin and
// its link on the PATH.
func TestKubectlCompletesThePlugin(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"kubectl-bulkhead", "kubectl_complete-bulkhead"} { // as docs/plugin.md has them
		if err := os.Symlink(binaries.KubectlBulkhead, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for typed, want := range map[string]string{"bulkhead ": "preflight\t", "bulkhead adopt ": "storageclass\t", "bulkhead audit --fail-on ": "medium"} {
		cmd := exec.CommandContext(t.Context(), binaries.Kubectl, append([]string{"__complete"}, strings.Split(typed, " ")...)...)
		cmd.Env = append(os.Environ(), "PATH="+dir, "HOME="+dir)
		out, err := cmd.Output()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%q: %v, want %q in:\n%s", typed, err, want, out)
		}
	}
}
