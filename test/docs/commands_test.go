package docs

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/test/documents"
)

// run says which test package runs the commands of a document.
var run = map[string]string{
	"README.md":                        "test/e2e",
	"charts/bulkhead/README.md":        "test/e2e",
	"charts/bulkhead-issuer/README.md": "test/e2e",
	"docs/certificates.md":             "test/e2e",
	"docs/disaster.md":                 "test/e2e",
	"docs/plugin.md":                   "test/e2e",
	"docs/tutorial.md":                 "test/e2e",
	"docs/migrate.md":                  "test/plugin",
	"test/attacks/README.md":           "test/docs", // they are the gate's own, in parts
}

// TestEveryCommandIsRun fails for a block of commands that no test runs, and for
// a block that says nothing of what it holds: it could be commands.
func TestEveryCommandIsRun(t *testing.T) {
	seen := map[string]bool{}
	for _, path := range documentFiles(t) {
		blocks, err := documents.Read(root, path)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range blocks {
			switch block.Language {
			case "":
				t.Errorf("%s: the block has no language; commands are %s, what is no code is text", block, documents.Shell)
			case documents.Shell:
				seen[path] = true
			case "bash", "shell", "console":
				t.Errorf("%s: commands are marked %s", block, documents.Shell)
			}
		}
		if seen[path] && run[path] == "" {
			t.Errorf("%s: no test runs its commands", path)
		}
	}
	for document, pkg := range run {
		if !seen[document] {
			t.Errorf("%s has no commands", document)
		}
		if !mentions(t, pkg, `"`+document+`"`) {
			t.Errorf("%s does not run %s", pkg, document)
		}
	}
}

// mentions reports whether a test of a package has a text.
func mentions(t *testing.T, pkg, text string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, pkg, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s has no tests (%v)", pkg, err)
	}
	for _, file := range files {
		if strings.Contains(read(t, file), text) {
			return true
		}
	}
	return false
}

var goTest = regexp.MustCompile(`^go test \./(\S+)(.*)$`)

// TestGoTestCommands looks up what commands of test/attacks/README.md name; the
// gate runs those tests.
func TestGoTestCommands(t *testing.T) {
	blocks, err := documents.Commands(root, "test/attacks/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range blocks {
		for line := range strings.Lines(block.Text) {
			line, _, _ = strings.Cut(strings.TrimSpace(line), " #")
			found := goTest.FindStringSubmatch(line)
			if found == nil {
				t.Errorf("%s: %q is no go test", block, line)
				continue
			}
			fields := strings.Fields(found[2])
			for i, field := range fields {
				name, _, _ := strings.Cut(strings.TrimPrefix(field, "-"), "=")
				switch {
				case name == "run":
					if !mentions(t, found[1], "func "+fields[i+1]+"(") {
						t.Errorf("%s: there is no %s", block, fields[i+1])
					}
				case strings.HasPrefix(field, "-") && !mentions(t, found[1], `flag.String("`+name+`"`):
					t.Errorf("%s: there is no flag -%s", block, name)
				}
			}
		}
	}
}

// documentFiles are the documents, relative to the root.
func documentFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	for _, path := range documentsOf(t) {
		relative, err := filepath.Rel(root, path)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, relative)
	}
	return files
}
