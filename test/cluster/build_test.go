package cluster

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestVersionFlags(t *testing.T) {
	const want = "-X k8s.io/component-base/version.gitVersion=v1.37.2 " +
		"-X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37"
	if got := versionFlags("v1.37.2"); got != want {
		t.Errorf("got %s", got)
	}
}

func TestRequiredVersion(t *testing.T) {
	file := filepath.Join(t.TempDir(), "go.mod")
	const text = "module m\n\nrequire k8s.io/one v1.0.0\n\nrequire (\n\tk8s.io/kubernetes v1.37.2 // indirect\n)\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for module, want := range map[string]string{"k8s.io/one": "v1.0.0", "k8s.io/kubernetes": "v1.37.2"} {
		if got, err := requiredVersion(file, module); err != nil || got != want {
			t.Errorf("%s: got %q, %v", module, got, err)
		}
	}
	if _, err := requiredVersion(file, "k8s.io/two"); err == nil {
		t.Error("a missing module is no error")
	}
}

func TestAFailedBuildShowsTheCompilersWords(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module broken\n\ngo 1.26\n", "main.go": "package main\n\nfunc main() { undefinedName() }\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w := &builder{out: &bytes.Buffer{}, began: time.Now()}
	err := w.build(t.Context(), "broken", dir, ".", "", filepath.Join(dir, "broken"))
	if err == nil || !strings.Contains(err.Error(), "undefined: undefinedName") {
		t.Errorf("got %v", err)
	}
}

// heard keeps what is written, and acts on the first of it.
type heard struct {
	bytes.Buffer

	then func()
}

func (h *heard) Write(p []byte) (int, error) {
	h.then()
	return h.Buffer.Write(p)
}

func TestTheLockKeepsASecondBuilderOut(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(t.Context(), file, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	out := &heard{then: cancel}
	if _, err := lock(ctx, file, out); err == nil {
		t.Fatal("two have the lock")
	}
	if !strings.Contains(out.String(), "waiting for another build") {
		t.Errorf("said %q", out.String())
	}
	unlock()
	unlock, err = lock(t.Context(), file, out)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}
