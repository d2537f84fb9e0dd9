package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// session is one run over all targets.
type session struct {
	root string // folder of the checkout
	dir  string // for what is built and gone afterwards
	// length is how long each target runs, from when its seeds are tried.
	length time.Duration
}

// target is one fuzz function.
type target struct {
	*fuzzed

	name string
}

// fuzzed is a package that has targets.
type fuzzed struct {
	path   string // of its import
	pkg    string // the same, from the module on
	folder string
	// corpus is where inputs that reach something new are kept, as `go test -fuzz`
	// does.
	corpus string

	// Test binaries, built when they are needed first: one whose code reports to the
	// fuzzer, one whose code counts the statements it reaches.
	instrumented, covered binary
}

// binary is built once.
type binary struct {
	once sync.Once
	err  error
}

var declaration = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(\w+ \*testing\.F\)`)

// targets are all there are, in the order of the packages and their files.
func (s *session) targets(ctx context.Context) ([]target, error) {
	module, err := s.goCommand(ctx, "list", "-m")
	if err != nil {
		return nil, err
	}
	cache, err := s.goCommand(ctx, "env", "GOCACHE")
	if err != nil {
		return nil, err
	}
	list, err := s.goCommand(ctx, "list", "-f", `{{$p := .}}{{range .TestGoFiles}}{{$p.ImportPath}} {{$p.Dir}} {{.}}{{"\n"}}{{end}}`, "./...")
	if err != nil {
		return nil, err
	}
	var all []target
	packages := map[string]*fuzzed{}
	for line := range strings.Lines(list) {
		path, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		folder, file, found := strings.Cut(rest, " ")
		if !found {
			continue
		}
		text, err := os.ReadFile(filepath.Join(folder, file))
		if err != nil {
			return nil, fmt.Errorf("read a test: %w", err)
		}
		if packages[path] == nil {
			packages[path] = &fuzzed{
				path: path, pkg: strings.TrimPrefix(path, strings.TrimSpace(module)+"/"), folder: folder,
				corpus: filepath.Join(strings.TrimSpace(cache), "fuzz", path),
			}
		}
		for _, declared := range declaration.FindAllSubmatch(text, -1) {
			all = append(all, target{packages[path], string(declared[1])})
		}
	}
	return all, nil
}

// build makes a test binary of the package, unless it is there.
func (s *session) build(ctx context.Context, p *fuzzed, b *binary, ending, flag string) (string, error) {
	path := filepath.Join(s.dir, strings.ReplaceAll(p.pkg, "/", "-")+ending)
	b.once.Do(func() { _, b.err = s.goCommand(ctx, "test", "-c", flag, "-o", path, p.path) })
	return path, b.err
}

// goCommand is what a go command prints.
func (s *session) goCommand(ctx context.Context, args ...string) (string, error) {
	command := exec.CommandContext(ctx, "go", args...)
	command.Dir = s.root
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w: %s%s", strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return string(out), nil
}
