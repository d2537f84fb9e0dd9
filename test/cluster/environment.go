package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// DefaultTokenLife is how long storage tokens live where Config does not say.
const DefaultTokenLife = time.Hour

// maxSocketPath is the longest path of a unix socket (sun_path of unix(7),
// without the final zero).
const maxSocketPath = 107

// Config says what an environment is made of.
type Config struct {
	// Dir is the run folder, made if missing, with logs in its folder "logs".
	// It holds keys and tokens of the environment, so it is closed to others.
	// Empty means a new folder for temporary files. Stop leaves it in place.
	Dir string
	// Binaries are what Build returned.
	Binaries *Binaries
	// TokenLife is the longest life of a storage token, at least 10 s;
	// DefaultTokenLife if zero.
	TokenLife time.Duration
	// SelfSigned are issuers that the storage cluster trusts beside the product's
	// and the admin's, as its -jwt flag takes them: ISSUER,KIND=FILE[,KIND=FILE…].
	SelfSigned []string
	// Address is the IP address that API servers, the issuer and the storage
	// cluster's SDK listen on and are known by; 127.0.0.1 if empty. What runs in
	// network namespaces of its own, as Pods do, cannot reach that one.
	Address string
	// RetryMax is how long the CSI sidecars wait at most before they try again what
	// failed; their own five minutes, and a quarter of an hour for snapshots that
	// they have given up on, if zero.
	RetryMax time.Duration
	// Front puts a Front before the issuer, under the issuer's URL.
	Front bool
	// Out gets a line for each thing that was started; nil for none.
	Out io.Writer
}

// Environment is a storage cluster with its compute clusters.
type Environment struct {
	// Dir is the run folder, absolute.
	Dir string
	// Storage is the storage cluster, nil before StartStorage.
	Storage *Storage

	cfg        Config
	supervisor *supervisor
	sockets    folder
	ownSockets bool // whether sockets is a folder of its own, to be removed
	front      *Front

	// life ends with Stop, and with it what renews tokens.
	life    context.Context //nolint:containedctx // it is the life of the environment, not of a call
	end     context.CancelFunc
	renewal sync.WaitGroup

	saying   sync.Mutex
	policing sync.Mutex // one change of the issuer's policy file at a time
	mu       sync.Mutex
	computes map[string]*Compute
}

// New makes the run folder. It starts nothing yet.
func New(cfg Config) (*Environment, error) {
	if cfg.Binaries == nil {
		return nil, errors.New("no binaries: call Build first")
	}
	if cfg.TokenLife == 0 {
		cfg.TokenLife = DefaultTokenLife
	}
	if cfg.Address == "" {
		cfg.Address = "127.0.0.1"
	}
	if cfg.Out == nil {
		cfg.Out = io.Discard
	}
	dir := cfg.Dir
	var err error
	if dir == "" {
		if dir, err = os.MkdirTemp("", "bulkhead-run-"); err != nil {
			return nil, fmt.Errorf("make the run folder: %w", err)
		}
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("run folder: %w", err)
	}
	if _, err := makeFolder(filepath.Join(dir, "logs")); err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, fmt.Errorf("close the run folder to others: %w", err)
	}
	e := &Environment{Dir: dir, cfg: cfg, supervisor: newSupervisor(dir), computes: map[string]*Compute{}}
	if err := e.makeSocketFolder(); err != nil {
		return nil, err
	}
	e.life, e.end = context.WithCancel(context.Background())
	return e, nil
}

// makeSocketFolder chooses a folder whose sockets have paths that the kernel
// takes, which those of tests with long names are not.
func (e *Environment) makeSocketFolder() (err error) {
	const longestName = 63 + len(".sock")
	path := filepath.Join(e.Dir, "sock")
	if len(path)+1+longestName <= maxSocketPath {
		e.sockets, err = makeFolder(path)
		return err
	}
	if path, err = os.MkdirTemp("", "bulkhead-"); err != nil {
		return fmt.Errorf("make a folder for sockets: %w", err)
	}
	e.sockets, e.ownSockets = folder(path), true
	return nil
}

// Failed delivers an error if a component ends that nobody asked to end, with
// the last lines of its log. Only the first such failure is delivered.
func (e *Environment) Failed() <-chan error { return e.supervisor.failed }

// Logs is the folder with one log file for each component.
func (e *Environment) Logs() string { return filepath.Join(e.Dir, "logs") }

// Process returns a component by the name of its log, e.g. "storagecluster" or
// "k14c1-csi-provisioner", nil if there is none.
func (e *Environment) Process(name string) *Process {
	e.supervisor.mu.Lock()
	defer e.supervisor.mu.Unlock()
	for _, p := range e.supervisor.processes {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// Stop ends every process, the last started first, and returns when all are
// gone. It takes five seconds at most, and may be called again.
func (e *Environment) Stop() {
	e.end()
	e.supervisor.stop()
	e.renewal.Wait()
	if e.front != nil {
		e.front.close()
	}
	if e.ownSockets {
		// Empty or not, it is ours, and nothing can be done about a failure.
		_ = os.RemoveAll(string(e.sockets))
	}
}

// at is host:port of a server that others than this environment's processes may
// be meant to reach.
func (e *Environment) at(port int) string {
	return net.JoinHostPort(e.cfg.Address, strconv.Itoa(port))
}

// started says that a component is ready.
func (e *Environment) started(what string, began time.Time) {
	e.saying.Lock()
	defer e.saying.Unlock()
	fmt.Fprintf(e.cfg.Out, "%s … %.1fs\n", what, time.Since(began).Seconds())
}
