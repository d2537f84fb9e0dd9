package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheLastLineOfProgressCounts(t *testing.T) {
	const out = `fuzz: elapsed: 0s, gathering baseline coverage: 44/44 completed, now fuzzing with 1 workers
fuzz: elapsed: 3s, execs: 15151 (5049/sec), new interesting: 51 (total: 54)
fuzz: elapsed: 6s, execs: 32541 (5798/sec), new interesting: 66 (total: 110)
PASS
`
	var r row
	if err := r.read([]byte(out)); err != nil || r.executions != 32541 || r.fresh != 66 || r.corpus != 110 {
		t.Errorf("read %+v, %v", r, err)
	}
	if err := new(row).read([]byte("PASS\n")); err == nil {
		t.Error("no progress was taken for a run")
	}
	short := "fuzz: elapsed: 3s, gathering baseline coverage: 28/44 completed\nPASS\n"
	if err := new(row).read([]byte(short)); err == nil {
		t.Error("a run that tried the seeds alone was taken for one")
	}
}

func TestTimeBeginsWhenTheSeedsAreTried(t *testing.T) {
	begun := 0
	o := &output{begun: func() { begun++ }}
	for i, part := range []string{"fuzz: elapsed: 3s, gathering baseline coverage: 28/44 completed\n", "fuzz: elapsed: 4s, gathering baseline coverage: 44/44 completed, now fuz", "zing with 1 workers\n", "fuzz: elapsed: 6s, execs: 1 (0/sec)"} {
		if _, err := io.Copy(o, struct{ io.Reader }{strings.NewReader(part)}); err != nil { // as from a pipe
			t.Fatal(err)
		}
		if want := min(max(i-1, 0), 1); begun != want {
			t.Errorf("after %q it has begun %d times, want %d", o.text.String(), begun, want)
		}
	}
}

func TestTargetsThatAreNotRunKeepTheirRows(t *testing.T) {
	document := filepath.Join(t.TempDir(), "benchmarks.md")
	old := row{pkg: "a", name: "FuzzKept", executions: 7}
	text := "<!-- written by make fuzz -->\n" + heading + old.String() + "\n" + row{pkg: "a", name: "FuzzGone"}.String() + "\n" +
		row{pkg: "b", name: "FuzzAgain", executions: 1}.String() + "\n<!-- end of what make fuzz writes -->\nAfter\n"
	if err := os.WriteFile(document, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	a, b := &fuzzed{pkg: "a"}, &fuzzed{pkg: "b"}
	fresh := row{pkg: "b", name: "FuzzAgain", executions: 2, failed: true}
	if err := keep(document, []target{{a, "FuzzKept"}, {b, "FuzzAgain"}, {b, "FuzzNever"}}, fresh); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	if want := heading + old.String() + "\n" + fresh.String() + "\n<!-- end"; !strings.Contains(string(got), want) || !strings.HasSuffix(string(got), "After\n") {
		t.Errorf("got %s, want in it %s", got, want)
	}
	if !strings.Contains(fresh.String(), "**failed**") {
		t.Errorf("a failure is not told: %s", fresh)
	}
}

func TestTargetsAreFoundByTheirDeclaration(t *testing.T) {
	all, err := (&session{root: "../.."}).targets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, one := range all {
		found[one.name] = one.pkg
	}
	for name, pkg := range map[string]string{"FuzzReviewPersistentVolumeClaim": "webhook", "FuzzExchange": "issuer", "FuzzAuditFile": "plugin/adopt"} {
		if found[name] != pkg {
			t.Errorf("%s was found in %q, want %s", name, found[name], pkg)
		}
	}
}
