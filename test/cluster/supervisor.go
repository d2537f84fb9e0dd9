package cluster

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// RunVariable is set to the run folder in the environment of every process
// that this package starts, so that leftovers can be found.
const RunVariable = "BULKHEAD_RUN"

// spawner runs functions on one operating system thread that never ends: the
// kernel sends Pdeathsig when the *thread* that started a process ends, and Go
// ends threads as it likes.
var spawner = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

// spawn starts the command such that it is killed when this process dies, be it
// by SIGKILL.
func spawn(cmd *exec.Cmd) error {
	result := make(chan error, 1)
	spawner() <- func() { result <- cmd.Start() }
	return <-result
}

// ownGroup makes a process the leader of a group, so that its children can be
// killed with it and Ctrl-C in a terminal does not reach it, and ties its life
// to ours.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// supervisor starts processes and ends them all.
type supervisor struct {
	dir    string // run folder
	failed chan error

	mu        sync.Mutex
	stopping  bool
	processes []*Process // in the order of their first start
}

func newSupervisor(dir string) *supervisor {
	return &supervisor{dir: dir, failed: make(chan error, 1)}
}

func (s *supervisor) logFile(name string) string {
	return filepath.Join(s.dir, "logs", name+".log")
}

// start runs a new process and waits until it is ready.
func (s *supervisor) start(ctx context.Context, what spec) (*Process, error) {
	p := &Process{
		Name: what.name, Log: s.logFile(what.name),
		Endpoint: what.endpoint,
		path:     what.path, args: what.args, env: what.env, hostname: what.hostname, socket: what.socket,
		abrupt: what.abrupt, ready: what.ready, restarts: what.restarts, owner: s,
	}
	return p, p.Start(ctx)
}

// run runs a command to its end and returns its standard output. The error ends
// with the last lines of its standard error.
func (s *supervisor) run(ctx context.Context, path string, args ...string) ([]byte, error) {
	name := filepath.Base(path)
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = s.dir
	cmd.Env = s.environ(nil)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = ownGroup()
	cmd.WaitDelay = stopGrace
	err := spawn(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", name, args[0], err, lastLines(stderr.Bytes(), shownLog))
	}
	return stdout.Bytes(), nil
}

// environ is the environment of every process: ours without what points to
// other clusters or would send loopback through a proxy, the run folder, more.
func (s *supervisor) environ(more []string) []string {
	env := slices.DeleteFunc(os.Environ(), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		switch strings.ToUpper(name) {
		case "KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY":
			return true
		default:
			return strings.HasPrefix(name, "HELM_")
		}
	})
	env = append(env, RunVariable+"="+s.dir)
	return append(env, more...)
}

// ending is whether stop was called.
func (s *supervisor) ending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopping
}

// forget drops a process that has ended for good, so that another can take its
// name.
func (s *supervisor) forget(p *Process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.processes = slices.DeleteFunc(s.processes, func(other *Process) bool { return other == p })
}

// stop ends all processes, the last started first, and returns when they are
// gone. What needs no grace ends last. It may be called again.
func (s *supervisor) stop() {
	s.mu.Lock()
	s.stopping = true
	processes := slices.Clone(s.processes)
	s.mu.Unlock()
	slices.Reverse(processes)

	// Nil channels, of those that need no grace, are not waited for.
	ends := make([]<-chan struct{}, len(processes))
	for i, p := range processes {
		if !p.abrupt {
			ends[i] = p.end(syscall.SIGTERM)
		}
	}
	// One grace for all: what is late may wait for something that has gone.
	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	late := false
	for _, ended := range ends {
		if ended == nil || late {
			continue
		}
		select {
		case <-ended:
		case <-grace.C:
			late = true
		}
	}
	for _, p := range processes {
		<-p.end(syscall.SIGKILL)
	}
}
