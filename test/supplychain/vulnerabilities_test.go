// Package supplychain shows that the gate's look for vulnerabilities finds one, and
// does not take a database that is out of reach for one that knows of none.
package supplychain

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../.."

// The parts of a vulnerability database that are read (go.dev/doc/security/vuln/database).
const (
	databaseIndex = `{"modified":"2026-01-01T00:00:00Z"}`
	noModules     = `[]`
	oneModule     = `[{"path":"k8s.io/klog/v2","vulns":[{"id":"GO-2026-0001","modified":"2026-01-01T00:00:00Z"}]}]`
	entry         = `{
  "schema_version": "1.3.1", "id": "GO-2026-0001", "modified": "2026-01-01T00:00:00Z", "published": "2026-01-01T00:00:00Z",
  "summary": "invented for a test", "details": "invented for a test",
  "affected": [{
    "package": {"name": "k8s.io/klog/v2", "ecosystem": "Go"},
    "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}]}],
    "ecosystem_specific": {"imports": [{"path": "k8s.io/klog/v2"}]}
  }],
  "database_specific": {"url": "https://pkg.go.dev/vuln/GO-2026-0001"}
}`
)

func TestVulnerabilities(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "issuer")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./cmd/issuer")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for name, c := range map[string]struct {
		database string
		code     int
		says     string
	}{
		"none is known":                {database(t, noModules), 0, "No vulnerabilities found"},
		"one is known":                 {database(t, oneModule), 1, "GO-2026-0001"},
		"the database is out of reach": {"http://127.0.0.1:1", 3, "creating client"},
		"the database is none":         {"file://" + t.TempDir(), 2, "no database"},
	} {
		t.Run(name, func(t *testing.T) {
			out, code := look(t, c.database, binary)
			if code != c.code || !strings.Contains(out, c.says) {
				t.Errorf("exit %d, want %d and %q:\n%s", code, c.code, c.says, out)
			}
		})
	}
}

// look runs hack/vulnerabilities with a database.
func look(t *testing.T, database, binary string) (out string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(root, "hack/vulnerabilities"), binary)
	cmd.Env = append(os.Environ(), "GOVULNDB="+database)
	said, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return string(said), exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(said), 0
}

// database makes one with that list of modules, and returns its URL.
func database(t *testing.T, modules string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"index/db.json": databaseIndex, "index/modules.json": modules, "ID/GO-2026-0001.json": entry,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return "file://" + dir
}
