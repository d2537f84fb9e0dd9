package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func TestAFullDiskTakesNothingUntilItIsFreed(t *testing.T) {
	const size = 64 << 10
	e, err := New(Config{Dir: t.TempDir(), Binaries: &Binaries{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Stop)
	disk, err := e.startDisk(t.Context(), "disk", size)
	if err != nil {
		t.Fatal(err)
	}
	// write is done by what sees the disk.
	write := func(name string) error {
		path, args := disk.seenBy("/bin/sh", []string{"-c", `echo line > "$0"`, disk.inside(name)})
		_, err := e.supervisor.run(t.Context(), path, args...)
		return err
	}
	if err := write("before"); err != nil {
		t.Fatal(err)
	}
	if raw, err := os.ReadFile(disk.Path("before")); err != nil || string(raw) != "line\n" {
		t.Fatalf("from outside it reads %q (%v)", raw, err)
	}
	if _, err := os.Stat(filepath.Join(e.Dir, "disk", "before")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what is on the disk is seen without it: %v", err)
	}
	if err := disk.Fill(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(disk.Path("meanwhile"), []byte("line"), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a write to the full disk: %v, want no space", err)
	}
	if err := write("meanwhile"); err == nil {
		t.Error("what sees the disk could write")
	}
	if err := disk.Free(); err != nil {
		t.Fatal(err)
	}
	if err := write("after"); err != nil {
		t.Error(err)
	}
	holder := disk.holder.PID()
	e.Stop()
	for deadline := time.Now().Add(stopGrace); syscall.Kill(holder, 0) == nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("what holds the disk is still there")
		}
	}
}
