package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// mainVariable makes the test binary the playground command.
const mainVariable = "BULKHEAD_TEST_PLAYGROUND"

func TestMain(m *testing.M) {
	if os.Getenv(mainVariable) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// playground is the command, run by the test binary.
func playground(ctx context.Context, t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), mainVariable+"=1")
	return cmd
}

func run(t *testing.T, args ...string) (output string, err error) {
	t.Helper()
	raw, err := playground(t.Context(), t, args...).CombinedOutput()
	t.Logf("playground %s\n%s", strings.Join(args, " "), raw)
	return string(raw), err
}

func TestAPlaygroundComesUpAndGoesDown(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	t.Cleanup(func() { endPlayground(t, dir) })
	output, err := run(t, "up", "--dir", dir, "--clusters", "k14c1")
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig := filepath.Join(dir, "k14c1", "admin.kubeconfig")
	if !strings.Contains(output, "KUBECONFIG="+kubeconfig) {
		t.Error("it does not tell the KUBECONFIG")
	}
	checkEnvFile(t, dir)

	if output, err := run(t, "up", "--dir", dir); err == nil || !strings.Contains(output, "runs in "+dir+" already") {
		t.Errorf("a second one came up: %v", err)
	}
	if _, err := run(t, "down", "--dir", dir); err != nil {
		t.Error(err)
	}
	if left, err := cluster.Leftovers(dir); err != nil || len(left) > 0 {
		t.Errorf("processes left: %v, %v", left, err)
	}
	if output, err := run(t, "down", "--dir", dir); err != nil || !strings.Contains(output, "no playground runs") {
		t.Errorf("a second down: %v", err)
	}
}

// checkEnvFile has a shell read the file, which is what it is for.
func checkEnvFile(t *testing.T, dir string) {
	t.Helper()
	const script = `. "$0" && test -r "$BULKHEAD_KUBECONFIG_K14C1" && test -r "$BULKHEAD_ADMIN_TOKEN_FILE" &&
		test -d "$BULKHEAD_RUN" && echo "$BULKHEAD_SDK $BULKHEAD_ISSUER_URL"`
	raw, err := exec.CommandContext(t.Context(), "/bin/sh", "-c", script, filepath.Join(dir, "env")).CombinedOutput()
	if err != nil || !strings.HasPrefix(string(raw), "127.0.0.1:") || !strings.Contains(string(raw), " https://127.0.0.1:") {
		t.Errorf("the environment file: %v: %s", err, raw)
	}
}

func TestAnUpThatIsKilledLeavesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	t.Cleanup(func() { endPlayground(t, dir) })
	up := playground(t.Context(), t, "up", "--dir", dir)
	up.Stdout, up.Stderr = t.Output(), t.Output()
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "a first process", 5*time.Minute, func() bool { return len(leftovers(t, dir)) > 0 })
	if err := up.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = up.Wait() // it was killed
	cfg := config{dir: dir}
	await(t, "the end of all", 15*time.Second, func() bool {
		pid, err := cfg.holder()
		if err != nil {
			t.Error(err)
		}
		return pid == 0 && len(leftovers(t, dir)) == 0
	})
}

func TestAFolderWithOtherThingsInItIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	precious := filepath.Join(dir, "precious")
	if err := os.WriteFile(precious, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if output, err := run(t, "up", "--dir", dir); err == nil || !strings.Contains(output, "not a run folder") {
		t.Errorf("it was taken: %v", err)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
}

func leftovers(t *testing.T, dir string) []int {
	t.Helper()
	left, err := cluster.Leftovers(dir)
	if err != nil {
		t.Fatal(err)
	}
	return left
}

func await(t *testing.T, what string, timeout time.Duration, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(timeout)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, timeout)
		}
		<-time.After(watchInterval)
	}
}

// endPlayground is for a test that failed half-way.
func endPlayground(t *testing.T, dir string) {
	t.Helper()
	// The test's context has ended by now.
	if raw, err := playground(context.WithoutCancel(t.Context()), t, "down", "--dir", dir).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, raw)
	}
}
