package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

const (
	// roleVariable tells the processes apart that Main makes of one program.
	roleVariable = "BULKHEAD_NODE_ROLE"
	roleInit     = "init"
	roleTests    = "tests"

	// scratchVariable is the folder of the run, for all that goes when it ends.
	scratchVariable = "BULKHEAD_NODE_SCRATCH"
	scratchPrefix   = "bulkhead-node-"
)

// Main runs the tests of a package: in TestMain,
//
//	os.Exit(node.Main(m.Run))
//
// As root it first installs what is missing of Debian's packages and builds what a
// node takes, while there is still a network, and then runs the tests in
// namespaces of their own. Of several such runs on a machine one waits for the
// other. Without root it runs the tests as they are: see Require.
func Main(run func() int) int {
	if os.Geteuid() != 0 {
		return run()
	}
	var code int
	var err error
	switch os.Getenv(roleVariable) {
	case "":
		code, err = outside()
	case roleInit:
		code, err = inside()
	case roleTests:
		return run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		return 1
	}
	return code
}

// Require skips a test that needs a node where there can be none.
func Require(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a real node takes root: run this as root, on Debian, to test what needs one")
	}
}

// outside prepares the machine, runs the tests inside and cleans up after them.
func outside() (code int, err error) {
	// Whoever starts a process with Pdeathsig must stay on its thread.
	runtime.LockOSThread()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT)
	defer stop()
	release, err := takeMachine(ctx)
	if err != nil {
		return 1, err
	}
	defer release()
	if err := removeLeftovers(); err != nil {
		return 1, fmt.Errorf("clean up after a run that was killed: %w", err)
	}
	if err := checkKernel(); err != nil {
		return 1, err
	}
	if err := installPackages(ctx); err != nil {
		return 1, err
	}
	if _, err := cluster.BuildNode(ctx, os.Stderr); err != nil {
		return 1, err
	}
	scratch, err := os.MkdirTemp("", scratchPrefix)
	if err != nil {
		return 1, fmt.Errorf("make a folder: %w", err)
	}
	defer func() { err = errors.Join(err, removeLeftovers()) }()

	self, err := os.Executable()
	if err != nil {
		return 1, fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), roleVariable+"="+roleInit, scratchVariable+"="+scratch)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
	}
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 1, fmt.Errorf("run in namespaces: %w", errors.Join(context.Cause(ctx), err))
	}
	return 0, nil
}

// takeMachine waits until no other run has a node on this machine. The lock is the
// name of a socket without a file, which the kernel frees with its process.
func takeMachine(ctx context.Context) (release func(), err error) {
	var listener net.Listener
	told := false
	err = cluster.Poll(ctx, 0, func(ctx context.Context) error {
		listener, err = (&net.ListenConfig{}).Listen(ctx, "unix", "@bulkhead-node")
		if err != nil && !told {
			told = true
			fmt.Fprintln(os.Stderr, "node: waiting for another run on this machine")
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("wait for another run: %w", err)
	}
	return func() { _ = listener.Close() }, nil
}

// scratch is a path in the folder of this run.
func scratch(elements ...string) string {
	return filepath.Join(append([]string{os.Getenv(scratchVariable)}, elements...)...)
}
