package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// inline is a command of ours in a sentence; those in blocks are run (test/docs).
var inline = regexp.MustCompile("`kubectl bulkhead ([^`]+)`")

// TestTheDocumentsCommandsExist reads every command of ours in the sentences of the
// documents, and fails on a subcommand or flag that is not there.
func TestTheDocumentsCommandsExist(t *testing.T) {
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("no documents: %v", err)
	}
	seen := 0
	for _, file := range append(files, "../../README.md", "../../charts/bulkhead/README.md", "../../charts/bulkhead-issuer/README.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range inline.FindAllStringSubmatch(string(text), -1) {
			seen++
			// What may be left out stands in brackets.
			command := strings.NewReplacer("[", "", "]", "").Replace(found[1])
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
	root.InitDefaultCompletionCmd(args...)
	cmd, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if cmd.Args == nil || len(rest) == 0 { // it is no more than the command's name
		return nil
	}
	return cmd.Args(cmd, cmd.Flags().Args())
}

func TestParsesRefusesWhatIsNotThere(t *testing.T) {
	for _, command := range []string{"audit --no-such-flag", "register a b", "status surplus"} {
		if parses(strings.Fields(command)) == nil {
			t.Errorf("%q is taken", command)
		}
	}
}
