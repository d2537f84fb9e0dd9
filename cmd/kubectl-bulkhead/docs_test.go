package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheDocumentsCommandsExist reads every command of the documents that is ours,
// and fails on a subcommand or flag that is not there.
func TestTheDocumentsCommandsExist(t *testing.T) {
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("no documents: %v", err)
	}
	seen := 0
	for _, file := range append(files, "../../README.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		fenced := false
		for line := range strings.SplitSeq(string(text), "\n") {
			if strings.HasPrefix(line, "```") {
				fenced = !fenced
			}
			command, is := strings.CutPrefix(strings.TrimSpace(line), "kubectl bulkhead ")
			if !fenced || !is {
				continue
			}
			command, _, _ = strings.Cut(command, " #")
			seen++
			if err := parses(strings.Fields(command)); err != nil {
				t.Errorf("%s: kubectl bulkhead %s: %v", filepath.Base(file), command, err)
			}
		}
	}
	if seen == 0 {
		t.Error("no document has a command of ours")
	}
}

// parses reports whether the command and its flags are known and its arguments fit.
func parses(args []string) error {
	root := newRoot()
	cmd, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if cmd.Args == nil {
		return nil
	}
	return cmd.Args(cmd, cmd.Flags().Args())
}

func TestParsesRefusesWhatIsNotThere(t *testing.T) {
	for _, command := range []string{"audit --no-such-flag", "register", "status surplus"} {
		if parses(strings.Fields(command)) == nil {
			t.Errorf("%q is taken", command)
		}
	}
}
