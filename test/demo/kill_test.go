package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// TestTheKilledDemoLeavesNoProcess kills the demo without a chance to clean up,
// at random moments.
func TestTheKilledDemoLeavesNoProcess(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "demo")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// What Build needs is there before the clock starts.
	if _, err := cluster.Build(t.Context(), t.Output()); err != nil {
		t.Fatal(err)
	}
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGKILL, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			dir := t.TempDir()
			demo := exec.Command(binary, "-dir", dir)
			demo.Stdout, demo.Stderr = t.Output(), t.Output()
			if err := demo.Start(); err != nil {
				t.Fatal(err)
			}
			waitForChildren(t, dir)
			time.Sleep(rand.N(15 * time.Second)) // the random moment
			if err := demo.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			err := demo.Wait()
			var exit *exec.ExitError
			if !errors.As(err, &exit) {
				t.Fatalf("the demo ended with %v", err)
			}
			if signal == syscall.SIGINT && exit.ExitCode() != 1 {
				t.Errorf("exit code %d after an interrupt, want 1", exit.ExitCode())
			}
			deadline, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			for {
				left, err := cluster.Leftovers(dir)
				if err != nil {
					t.Fatal(err)
				}
				if len(left) == 0 {
					return
				}
				select {
				case <-deadline.Done():
					t.Fatalf("processes %v are left", left)
				case <-time.After(100 * time.Millisecond):
				}
			}
		})
	}
}

// waitForChildren waits until the demo has started something. It builds first.
func waitForChildren(t *testing.T, dir string) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if left, err := cluster.Leftovers(dir); err != nil {
			t.Fatal(err)
		} else if len(left) > 0 {
			return
		}
	}
	t.Fatal("the demo starts nothing")
}
