package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// stopGrace is how long a process may take to end when asked to.
	stopGrace = 5 * time.Second
	// shownLog is how many lines of its log tell why a process failed.
	shownLog = 20
	// shownLogBytes bounds how much of a log is read for that.
	shownLogBytes = 64 << 10
	// restartDelay is how long what ended by itself stays away. A kubelet waits
	// ten seconds, the second time; a test would wait with it.
	restartDelay = time.Second
	// maxRestarts is how often that happens before it counts as a failure.
	maxRestarts = 20
)

// Process is a component of an environment. Its methods may be called by
// several goroutines.
type Process struct {
	// Name is unique in the environment, e.g. "issuer" or "k14c1-webhook".
	Name string
	// Log is the file with its standard output and error.
	Log string
	// Endpoint is the http URL of its metrics and health, empty if it has none
	// that anybody here asks for.
	Endpoint string

	path     string
	args     []string
	env      []string
	hostname string
	socket   string
	abrupt   bool
	ready    func(context.Context) error
	owner    *supervisor

	turn sync.Mutex // one Start, Stop or Kill at a time

	mu        sync.Mutex
	cmd       *exec.Cmd
	ended     chan struct{} // closed when the current run has ended
	expected  bool          // the end of the current run was asked for
	restarts  bool          // an end that was not asked for is followed by a start
	restarted int           // how often that has happened
}

// spec says what to run.
type spec struct {
	name, path string
	args, env  []string
	// endpoint, which may be empty, becomes Process.Endpoint.
	endpoint string
	// hostname is the one that the process sees, the machine's if empty.
	hostname string
	// socket, which may be empty, is a unix socket that the process makes and,
	// when killed, leaves behind in its own way.
	socket string
	// restarts is for what ends by itself when it has lost what it works with,
	// and relies on a kubelet to start it again.
	restarts bool
	// abrupt is for what may be killed without grace when all ends.
	abrupt bool
	// ready, which may be nil, is tried until it returns nil.
	ready func(context.Context) error
}

// Program is a process of somebody else's that an environment runs with its own.
type Program struct {
	// Name is that of the Process, unique in the environment.
	Name, Path string
	// Env is added to the environment.
	Args, Env []string
	// Ready, which may be nil, is tried until it returns nil.
	Ready func(context.Context) error
	// Abrupt is whether it may be killed without grace when all ends.
	Abrupt bool
}

// Substitute runs in the place of a program of the product: its arguments go before
// those of that. Nothing is substituted if it is zero.
type Substitute struct {
	Path string
	Args []string
}

// command is what to run instead of a program.
func (s Substitute) command(path string, args []string) (string, []string) {
	if s.Path == "" {
		return path, args
	}
	return s.Path, slices.Concat(s.Args, args)
}

// StartProgram starts a program and waits until it is ready. It ends with the
// environment; if it ends before, Failed says so.
func (e *Environment) StartProgram(ctx context.Context, p Program) (*Process, error) {
	return e.supervisor.start(ctx, spec{name: p.Name, path: p.Path, args: p.Args, env: p.Env, ready: p.Ready, abrupt: p.Abrupt})
}

// Start runs the process, again after Stop or Kill, with the arguments it first
// had, and waits until it is ready. The error ends with the last lines of the
// log where there is one.
func (p *Process) Start(ctx context.Context) error {
	p.turn.Lock()
	defer p.turn.Unlock()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	if p.Running() {
		return fmt.Errorf("start %s: it runs already", p.Name)
	}
	ended, err := p.launch()
	if err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	if p.ready == nil {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-ended:
			cancel(errors.New("it ended"))
		case <-ctx.Done():
		}
	}()
	if err := Poll(ctx, readyTimeout, p.ready); err != nil {
		return fmt.Errorf("wait for %s: %w; its log ends:\n%s", p.Name, err, p.LastLog())
	}
	return nil
}

func (p *Process) launch() (ended <-chan struct{}, err error) {
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open its log: %w", err)
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	if p.socket != "" {
		if err := os.Remove(p.socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("remove the socket of the last run: %w", err)
		}
	}
	cmd := exec.Command(p.path, p.args...) //nolint:noctx // it outlives the call that starts it
	cmd.SysProcAttr = ownGroup()
	if p.hostname != "" {
		seeHostname(cmd, p.hostname)
	}
	cmd.Dir = p.owner.dir
	cmd.Env = p.owner.environ(p.env)
	cmd.Stdout, cmd.Stderr = log, log

	// Held from the check to the entry in the list: stop must either refuse
	// this start or see the process.
	p.owner.mu.Lock()
	defer p.owner.mu.Unlock()
	if p.owner.stopping {
		return nil, errors.New("the environment is stopping")
	}
	if err := spawn(cmd); err != nil {
		return nil, err
	}
	if !slices.Contains(p.owner.processes, p) {
		p.owner.processes = append(p.owner.processes, p)
	}
	done := make(chan struct{})
	p.mu.Lock()
	p.cmd, p.ended, p.expected = cmd, done, false
	p.mu.Unlock()
	go p.watch(cmd, done)
	return done, nil
}

// watch waits for the end of one run. If nobody asked for it, it starts the
// process again where that is the way, and else reports it.
func (p *Process) watch(cmd *exec.Cmd, done chan struct{}) {
	err := cmd.Wait()
	// Children that it left behind, if any, are in its group.
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	p.mu.Lock()
	expected := p.expected
	again := p.restarts && p.restarted < maxRestarts
	close(done)
	p.mu.Unlock()
	if expected {
		return
	}
	// A crash is never the way, whoever would start it again.
	if again && !crashed(p.lastLog()) {
		<-time.After(restartDelay)
		if err = p.restart(); err == nil {
			return
		}
	}
	how := "exit status 0"
	if err != nil {
		how = err.Error()
	}
	select {
	case p.owner.failed <- fmt.Errorf("%s ended unasked (%s); its log ends:\n%s", p.Name, how, p.LastLog()):
	default: // the first failure is the one that explains the others
	}
}

// restart starts a process that ended by itself, unless somebody has stopped or
// started it since.
func (p *Process) restart() error {
	p.turn.Lock()
	defer p.turn.Unlock()
	p.mu.Lock()
	moot := p.expected || !p.restarts
	p.mu.Unlock()
	if moot || p.Running() || p.owner.ending() {
		return nil
	}
	if _, err := p.launch(); err != nil {
		return fmt.Errorf("start it again: %w", err)
	}
	p.mu.Lock()
	p.restarted++
	p.mu.Unlock()
	return nil
}

// Restarts is how often the process ended by itself and was started again, as a
// kubelet does.
func (p *Process) Restarts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.restarted
}

// crashed is whether a Go program says so.
func crashed(log []byte) bool {
	for _, sign := range []string{"\npanic: ", "\nfatal error: ", "WARNING: DATA RACE"} {
		if bytes.Contains(log, []byte(sign)) {
			return true
		}
	}
	return false
}

// Running is whether the process was started and has not ended.
func (p *Process) Running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// PID is the id of the process as it runs now, or ran last; zero if it never did.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// Stop asks the process to end with SIGTERM, kills it if it has not after five
// seconds, and returns when it is gone. Stopping what does not run is no error.
func (p *Process) Stop() {
	p.turn.Lock()
	defer p.turn.Unlock()
	ended := p.end(syscall.SIGTERM)
	if ended == nil {
		return
	}
	select {
	case <-ended:
	case <-time.After(stopGrace):
		p.end(syscall.SIGKILL)
		<-ended
	}
}

// Kill ends the process with SIGKILL, as a crash would, and returns when it is
// gone.
func (p *Process) Kill() {
	p.turn.Lock()
	defer p.turn.Unlock()
	if ended := p.end(syscall.SIGKILL); ended != nil {
		<-ended
	}
}

// Freeze halts the process with SIGSTOP until Thaw or Kill: its connections stay
// open and nothing on them is answered, as when a machine hangs.
func (p *Process) Freeze() {
	p.turn.Lock()
	defer p.turn.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.signal(syscall.SIGSTOP)
}

// Thaw lets a frozen process go on, with SIGCONT.
func (p *Process) Thaw() {
	p.turn.Lock()
	defer p.turn.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.signal(syscall.SIGCONT)
}

// end sends a signal that ends the process, for good, and returns what is closed
// when it has ended, nil if it was never started.
func (p *Process) end(signal syscall.Signal) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return nil
	}
	// Of one that waits to be started again, too.
	p.expected = true
	p.signal(signal)
	return p.ended
}

// signal sends a signal to the process's group if it runs. The caller holds mu.
func (p *Process) signal(signal syscall.Signal) {
	if p.cmd == nil {
		return
	}
	select {
	case <-p.ended:
	default:
		// The one possible failure is that it has just ended.
		_ = syscall.Kill(-p.cmd.Process.Pid, signal)
	}
}

// LastLog is the end of the process's log, at most 20 lines.
func (p *Process) LastLog() string { return lastLines(p.lastLog(), shownLog) }

// lastLog is the end of the process's log, at most 64 KiB.
func (p *Process) lastLog() []byte {
	file, err := os.Open(p.Log)
	if err != nil {
		return []byte("(no log: " + err.Error() + ")")
	}
	defer func() { _ = file.Close() }()
	if info, err := file.Stat(); err == nil && info.Size() > shownLogBytes {
		if _, err := file.Seek(-shownLogBytes, io.SeekEnd); err != nil {
			return []byte("(no log: " + err.Error() + ")")
		}
	}
	raw, err := io.ReadAll(file)
	if err != nil {
		return []byte("(no log: " + err.Error() + ")")
	}
	return raw
}

// lastLines is the end of a text, at most n lines, without a final line break.
func lastLines(text []byte, n int) string {
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
