package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/perf/benchfmt"
)

// defaultRounds is odd, for the median to be one that was measured.
const defaultRounds = 7

// results are what each round measured: by the benchmark's name, without its
// GOMAXPROCS, and the unit.
type results map[string]map[string][]float64

// goBenchmark runs the benchmarks of a package in rounds, each with all of them.
func goBenchmark(ctx context.Context, s *session, pkg, pattern, benchtime string) (results, error) {
	dir, err := os.MkdirTemp("", "bulkhead-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary := filepath.Join(dir, "bench.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary, pkg)
	build.Dir = s.root
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the benchmarks of %s: %w: %s", pkg, err, out)
	}
	all := results{}
	for round := range s.rounds {
		fmt.Fprintf(s.progress, "%s: round %d of %d\n", pkg, round+1, s.rounds)
		run := exec.CommandContext(ctx, binary, "-test.run=^$", "-test.bench="+pattern, "-test.benchtime="+benchtime, "-test.benchmem")
		run.Dir = filepath.Join(s.root, pkg)
		var stderr bytes.Buffer
		run.Stderr = &stderr
		out, err := run.Output()
		if err != nil {
			return nil, fmt.Errorf("benchmarks of %s: %w: %s%s", pkg, err, out, stderr.Bytes())
		}
		if err := all.read(out); err != nil {
			return nil, fmt.Errorf("benchmarks of %s: %w", pkg, err)
		}
	}
	return all, nil
}

// read adds what a run has printed.
func (r results) read(out []byte) error {
	reader := benchfmt.NewReader(bytes.NewReader(out), "output")
	for reader.Scan() {
		switch record := reader.Result().(type) {
		case *benchfmt.Result:
			name := record.Name.String()
			if i := strings.LastIndex(name, "-"); i >= 0 {
				name = name[:i]
			}
			if r[name] == nil {
				r[name] = map[string][]float64{}
			}
			for _, value := range record.Values {
				r[name][value.Unit] = append(r[name][value.Unit], value.Value)
			}
		case *benchfmt.SyntaxError:
			return record
		}
	}
	if err := reader.Err(); err != nil {
		return fmt.Errorf("read what it printed: %w", err)
	}
	return nil
}

// of are the measurements of a benchmark in a unit of benchfmt, so many.
func (r results) of(name, unit string, rounds int) ([]float64, error) {
	values := r[name][unit]
	if len(values) != rounds {
		return nil, fmt.Errorf("%s was measured %d times in %s, want %d", name, len(values), unit, rounds)
	}
	return values, nil
}
