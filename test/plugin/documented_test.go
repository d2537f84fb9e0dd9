package plugin

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// documented are the commands of ours in a document, in order, up to a heading.
func documented(t *testing.T, document, upTo string) [][]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + document)
	if err != nil {
		t.Fatal(err)
	}
	part, _, found := strings.Cut(string(text), "\n"+upTo+"\n")
	if !found {
		t.Fatalf("%s has no heading %q", document, upTo)
	}
	var commands [][]string
	for i, block := range strings.Split(part, "\n```") {
		if i%2 == 0 {
			continue // between the blocks
		}
		for line := range strings.SplitSeq(block, "\n") {
			if command, is := strings.CutPrefix(line, "kubectl bulkhead "); is {
				commands = append(commands, strings.Fields(command))
			}
		}
	}
	return commands
}

// migrate does what docs/migrate.md says, in a folder with the files that it
// names, and returns that.
func (f *former) migrate(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, file := range map[string]string{"admin.token": tokenFile(), "values.yaml": f.values(t)} {
		if err := os.Symlink(file, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	commands := documented(t, "migrate.md", "## Back")
	audits := 0
	for _, args := range commands {
		want := 0
		switch args[0] {
		case "adopt":
			args = append(args, "--yes") // nobody is there to be asked
		case "audit":
			if audits++; audits == 1 {
				want = 1 // what it is all about
			}
		case "preflight":
			want = 1 // the shared token's classes, and guest access while it is on
			if out, code, err := f.bulkhead(t.Context(), dir, args...); code > want {
				t.Fatalf("%v\n%s", err, out)
			}
			continue
		}
		out, code, err := f.bulkhead(t.Context(), dir, args...)
		if code != want {
			t.Errorf("kubectl bulkhead %s: exit %d, want %d: %v\n%s", strings.Join(args, " "), code, want, err, out)
		}
		if args[0] == "audit" {
			t.Log(out)
		}
	}
	if audits != 2 || len(commands) < 10 {
		t.Errorf("docs/migrate.md has %d commands and %d audits", len(commands), audits)
	}
	return dir
}
