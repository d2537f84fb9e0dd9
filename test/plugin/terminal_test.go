package plugin

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	colour = "\x1b[3"        // how a foreground colour begins
	anew   = "\x1b[H\x1b[2J" // home, clear
)

// wantTerminal fails unless there are colours and progress on a terminal, and
// nothing of the kind elsewhere.
func (f *former) wantTerminal(t *testing.T) {
	t.Helper()
	if out := f.must(t, t.TempDir(), "audit"); strings.Contains(out, "\x1b") {
		t.Errorf("into a pipe it paints: %q", out)
	}
	out := f.onTerminal(t, 0, []string{"TERM=xterm"}, "audit")
	if !strings.Contains(out, colour) || !strings.Contains(out, "reading the cluster") {
		t.Errorf("on a terminal there are no colours, or no progress: %q", out)
	}
	for _, without := range []string{"NO_COLOR=1", "TERM=dumb"} {
		if out := f.onTerminal(t, 0, []string{"TERM=xterm", without}, "audit"); strings.Contains(out, colour) {
			t.Errorf("with %s it paints: %q", without, out)
		}
	}
	if out := f.onTerminal(t, 0, []string{"TERM=xterm"}, "audit", "-o", "json"); strings.Contains(out, colour) {
		t.Errorf("JSON has colours: %q", out)
	}
	out = f.onTerminal(t, 2, []string{"TERM=xterm"}, "status", "--watch", "--interval", "1s")
	if strings.Count(out, anew) < 2 || strings.Count(out, f.shop.Subject()) < 2 {
		t.Errorf("a watch does not show it again: %q", out)
	}
}

// onTerminal is what kubectl bulkhead shows on one. It is interrupted once it has
// begun that many screens anew, and must end well.
func (f *former) onTerminal(t *testing.T, screens int, env []string, args ...string) string {
	t.Helper()
	ours, theirs := terminal(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binaries.KubectlBulkhead, append(args, "--kubeconfig", f.admin.Compute.Kubeconfig)...)
	cmd.Dir, cmd.Env = t.TempDir(), append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = theirs, theirs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = theirs.Close()
	var shown strings.Builder
	for buffer, stopped := make([]byte, 1<<16), false; ; {
		n, err := ours.Read(buffer)
		shown.Write(buffer[:n])
		if screens > 0 && !stopped && strings.Count(shown.String(), anew) >= screens && strings.HasSuffix(shown.String(), "\n") {
			stopped = true
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Error(err)
			}
		}
		if err != nil { // EIO once nobody has the other end
			break
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %v", args, err)
	}
	return shown.String()
}

// terminal opens one (pts(4)): theirs is the program's end.
func terminal(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ours.Close() })
	if err := unix.IoctlSetPointerInt(int(ours.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(ours.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return ours, theirs
}
