package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestAShellIsOfferedWhatCanBeTyped(t *testing.T) {
	for typed, want := range map[string][]string{
		"":                       {"adopt", "audit", "preflight", "register", "status", "token"},
		"adopt ":                 {"storageclass", "snapshotclass", "pv", "snapshotcontent", "claim", "volume", "finish", "undo"},
		"audit -o ":              {"table", "json", "yaml"},
		"status -o ":             {"table", "json", "yaml"},
		"preflight -o ":          {"table", "json", "yaml"},
		"token inspect -o ":      {"table", "json", "yaml"},
		"audit --fail-on ":       {"none", "low", "medium", "high"},
		"preflight --skip ":      {"kubernetes-version", "storage-ports"},
		"adopt volume --from-su": {"--from-subject"},
	} {
		// As kubectl asks, by the name of the link.
		args := argsOf(append([]string{"/usr/local/bin/" + completer}, strings.Split(typed, " ")...))
		var out bytes.Buffer
		root := newRoot()
		root.SetArgs(args)
		root.SetOut(&out)
		root.SetErr(&bytes.Buffer{})
		if err := root.ExecuteContext(t.Context()); err != nil {
			t.Errorf("%q: %v", typed, err)
		}
		var offered []string
		for line := range strings.Lines(out.String()) {
			word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
			offered = append(offered, word)
		}
		for _, word := range want {
			if !slices.Contains(offered, word) {
				t.Errorf("%q: %s is not offered, but %v", typed, word, offered)
			}
		}
	}
	if got := argsOf([]string{"/usr/local/bin/kubectl-bulkhead", "audit"}); !slices.Equal(got, []string{"audit"}) {
		t.Errorf("by its own name its arguments are %v", got)
	}
}
