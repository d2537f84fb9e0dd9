package plugin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/plugin/audit"
)

// bulkhead runs kubectl bulkhead as the admin of a cluster.
func (f *former) bulkhead(ctx context.Context, dir string, args ...string) (stdout string, code int, err error) {
	cmd := exec.CommandContext(ctx, binaries.KubectlBulkhead, append(args, "--kubeconfig", f.admin.Compute.Kubeconfig)...)
	cmd.Dir = dir
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	err = cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		code = exit.ExitCode()
		err = fmt.Errorf("kubectl bulkhead %s: exit %d: %s", strings.Join(args, " "), code, problems.String())
	}
	return out.String(), code, err
}

// must runs it and fails the test if it does not work.
func (f *former) must(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, _, err := f.bulkhead(t.Context(), dir, args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return out
}

// audit is what it finds, and its exit code.
func (f *former) audit(t *testing.T, args ...string) (*audit.Report, int) {
	t.Helper()
	args = append([]string{"audit", "-o", "json", "--storage-token-file", env.Storage.AdminTokenFile}, args...)
	out, code, err := f.bulkhead(t.Context(), t.TempDir(), args...)
	if code > 1 || (err != nil && code == 0) {
		t.Fatal(err)
	}
	var report audit.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("%v in:\n%s", err, out)
	}
	return &report, code
}

// tokenFile is the storage admin's.
func tokenFile() string {
	path, err := filepath.Abs(env.Storage.AdminTokenFile)
	if err != nil {
		return env.Storage.AdminTokenFile
	}
	return path
}
