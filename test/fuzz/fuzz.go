package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// fuzz runs a target. What it found is no error of the run, but a crash.
func (s *session) fuzz(ctx context.Context, t target, coverage bool) (r row, crash, err error) {
	r = row{pkg: t.pkg, name: t.name}
	instrumented, err := s.build(ctx, t.fuzzed, &t.instrumented, ".fuzz", "-fuzz=.")
	if err != nil {
		return r, nil, err
	}
	began := time.Now()
	// Few attempts to make an input smaller: they are not made with new ones. No
	// -test.fuzztime: its end can be reported as a failure (golang/go#75804), and it
	// counts the time in which the seeds are tried.
	command := exec.CommandContext(ctx, "nice", "-n", "19", instrumented, "-test.run=^$", "-test.fuzz=^"+t.name+"$",
		"-test.fuzzcachedir="+t.corpus, "-test.parallel=1", "-test.fuzzminimizetime=50x")
	command.Dir = t.folder // where it writes what it found, as a seed
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = time.Minute
	said := &output{begun: func() {
		time.AfterFunc(s.length, func() { _ = command.Process.Signal(os.Interrupt) })
		time.AfterFunc(s.length+command.WaitDelay, func() { _ = command.Process.Kill() })
	}}
	command.Stdout, command.Stderr = said, said
	err = command.Run()
	out := said.text.Bytes()
	r.took = time.Since(began)
	if command.ProcessState != nil { // with its worker's
		r.processor = command.ProcessState.UserTime() + command.ProcessState.SystemTime()
	}
	if ctx.Err() != nil {
		return r, nil, fmt.Errorf("%s: %w", t.name, ctx.Err())
	}
	if err != nil {
		if !errors.As(err, new(*exec.ExitError)) {
			return r, nil, fmt.Errorf("%s: %w", t.name, err)
		}
		crash = fmt.Errorf("%s of %s: %s", t.name, t.pkg, out) //nolint:err113 // it is what the target says
		// What took ten seconds counts as hung (internal/fuzz), and on a machine that
		// does other things first that says nothing: the seed is tried once more.
		again := exec.CommandContext(ctx, instrumented, "-test.run=^"+t.name+"$")
		again.Dir = t.folder
		r.failed = again.Run() != nil
		r.unconfirmed = !r.failed
	}
	if err := r.read(out); err != nil {
		return r, nil, fmt.Errorf("%s: %w: %s", t.name, err, out)
	}
	if coverage && crash == nil {
		if r.coverage, err = s.coverage(ctx, t); err != nil {
			return r, nil, err
		}
	}
	return r, crash, nil
}

// output keeps what a target prints, and says once when its seeds are tried.
type output struct {
	text  bytes.Buffer // embedded, its ReadFrom would pass Write by
	begun func()
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.text.Write(p)
	if o.begun != nil && begun.Match(o.text.Bytes()) {
		o.begun()
		o.begun = nil
	}
	return n, err
}

// begun is what is said once the seeds are tried; without any, nothing but progress.
var begun = regexp.MustCompile(`now fuzzing with|execs: `)

var progress = regexp.MustCompile(`execs: (\d+) \(\d+/sec\), new interesting: (\d+) \(total: (\d+)\)`)

// read takes the figures from the last line of progress.
func (r *row) read(out []byte) error {
	all := progress.FindAllSubmatch(out, -1)
	if len(all) == 0 {
		if r.failed || r.unconfirmed {
			return nil // a seed did
		}
		return errors.New("it tells no progress")
	}
	for i, figure := range []*int{&r.executions, &r.fresh, &r.corpus} {
		var err error
		if *figure, err = strconv.Atoi(string(all[len(all)-1][i+1])); err != nil {
			return fmt.Errorf("what it tells: %w", err)
		}
	}
	return nil
}

var statements = regexp.MustCompile(`coverage: ([0-9.]+)% of statements`)

// coverage is the part of the package's statements, in percent, that the seeds and
// all inputs that were found reach. A test reads seeds from its own folder alone, so
// it is run where all of them lie.
func (s *session) coverage(ctx context.Context, t target) (float64, error) {
	covered, err := s.build(ctx, t.fuzzed, &t.covered, ".cover", "-cover")
	if err != nil {
		return 0, err
	}
	dir := filepath.Join(s.dir, t.pkg, t.name)
	seeds := filepath.Join(dir, "testdata", "fuzz", t.name)
	if err := os.MkdirAll(seeds, 0o700); err != nil {
		return 0, fmt.Errorf("gather the inputs: %w", err)
	}
	for _, from := range []string{filepath.Join(t.folder, "testdata", "fuzz", t.name), filepath.Join(t.corpus, t.name)} {
		entries, err := os.ReadDir(from)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return 0, fmt.Errorf("gather the inputs: %w", err)
		}
		for _, entry := range entries {
			err := os.Symlink(filepath.Join(from, entry.Name()), filepath.Join(seeds, entry.Name()))
			if err != nil && !errors.Is(err, os.ErrExist) {
				return 0, fmt.Errorf("gather the inputs: %w", err)
			}
		}
	}
	command := exec.CommandContext(ctx, "nice", "-n", "19", covered, "-test.run=^"+t.name+"$", "-test.coverprofile=profile")
	command.Dir = dir
	out, err := command.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%s: coverage: %w: %s", t.name, err, out)
	}
	found := statements.FindSubmatch(out)
	if found == nil {
		return 0, fmt.Errorf("%s: it tells no coverage: %s", t.name, out)
	}
	percent, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		return 0, fmt.Errorf("%s: coverage: %w", t.name, err)
	}
	return percent, nil
}
