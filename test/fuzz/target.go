package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// session is one run over all targets.
type session struct {
	root string // folder of the checkout
	dir  string // for what is built and gone afterwards
	// length is how long each target runs, as -fuzztime takes it.
	length string
}

// target is one fuzz function.
type target struct {
	pkg    string // import path, from the module on
	name   string
	folder string // of its package
	// instrumented and covered are test binaries of the package: one whose code
	// reports to the fuzzer, one whose code counts the statements it reaches, empty
	// if nobody asks.
	instrumented, covered string
	// corpus is where inputs that reach something new are kept, as `go test -fuzz`
	// does.
	corpus string
}

// targets builds the packages that have any, and asks each for its own.
func (s *session) targets(ctx context.Context, coverage bool) ([]target, error) {
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
	built := map[string]bool{}
	for line := range strings.Lines(list) {
		fields := strings.Fields(line)
		const parts = 3 // package, folder, file
		if len(fields) != parts || built[fields[0]] {
			continue
		}
		text, err := os.ReadFile(filepath.Join(fields[1], fields[2]))
		if err != nil {
			return nil, fmt.Errorf("read a test: %w", err)
		}
		if !bytes.Contains(text, []byte("\nfunc Fuzz")) {
			continue
		}
		built[fields[0]] = true
		short := strings.TrimPrefix(fields[0], strings.TrimSpace(module)+"/")
		t := target{pkg: short, folder: fields[1], corpus: filepath.Join(strings.TrimSpace(cache), "fuzz", fields[0])}
		t.instrumented = filepath.Join(s.dir, strings.ReplaceAll(short, "/", "-")+".fuzz")
		if _, err := s.goCommand(ctx, "test", "-c", "-fuzz=.", "-o", t.instrumented, fields[0]); err != nil {
			return nil, err
		}
		if coverage {
			t.covered = filepath.Join(s.dir, strings.ReplaceAll(short, "/", "-")+".cover")
			if _, err := s.goCommand(ctx, "test", "-c", "-cover", "-o", t.covered, fields[0]); err != nil {
				return nil, err
			}
		}
		names, err := exec.CommandContext(ctx, t.instrumented, "-test.list=^Fuzz").Output()
		if err != nil {
			return nil, fmt.Errorf("list the targets of %s: %w", short, err)
		}
		for name := range strings.FieldsSeq(string(names)) {
			t.name = name
			all = append(all, t)
		}
	}
	return all, nil
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
