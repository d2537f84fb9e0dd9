package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTable(t *testing.T) {
	rows := []row{
		{what: "ours", against: "theirs", unit: "µs", is: []float64{30, 10, 20}, other: []float64{20, 10, 20}, target: 1.5},
		{what: "slow", against: "theirs", unit: "µs", is: []float64{40, 60}, other: []float64{20, 20}, target: 1.5},
		{what: "large", against: "theirs", unit: "allocations", is: []float64{4}, other: []float64{2}},
		{what: "memory", unit: "MiB", is: []float64{100, 130, 140}, limit: 128},
		{what: "added", against: "theirs", unit: "ms", is: []float64{2, 3, 4, -1, -2}, other: []float64{2, -1, 2, 1, 0}, target: 1.5},
		{what: "hidden", against: "theirs", unit: "ms", is: []float64{-1}, other: []float64{-1}, target: 1.5},
		{what: "both", against: "theirs", unit: "ms", is: []float64{4}, other: []float64{2}, target: 3, limit: 4},
	}
	got := table(rows)
	for _, want := range []string{
		"| ours | µs | 20 (10 … 30) | theirs | 20 (10 … 20) | 1 (1 … 1.5) | ≤ 1.5 times: met |\n",
		"| slow | µs | 50 (40 … 60) | theirs | 20 (20 … 20) | 2.5 (2 … 3) | ≤ 1.5 times: **missed** |\n",
		"| large | allocations | 4 (4 … 4) | theirs | 2 (2 … 2) | 2 (2 … 2) |  |\n",
		"| memory | MiB | 130 (100 … 140) |  |  |  | ≤ 128 MiB: **missed** |\n",
		"| added | ms | 2 (-2 … 4) | theirs | 1 (-1 … 2) | 1.5 (-1 … ∞) | ≤ 1.5 times: met |\n",
		"| hidden | ms | -1 (-1 … -1) | theirs | -1 (-1 … -1) | ∞ (∞ … ∞) | ≤ 1.5 times: **missed** |\n",
		"| both | ms | 4 (4 … 4) | theirs | 2 (2 … 2) | 2 (2 … 2) | ≤ 3 times, ≤ 4 ms: met |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
}

func TestResults(t *testing.T) {
	r := results{}
	for _, out := range []string{
		"BenchmarkX/kind=a-2 100 2000 ns/op 5 allocs/op\nPASS\n",
		"BenchmarkX/kind=a-2 100 4000 ns/op 5 allocs/op\n",
	} {
		if err := r.read([]byte(out)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := r.of("X/kind=a", "sec/op", 2)
	if err != nil || spreadOf(got).String() != "3e-06 (2e-06 … 4e-06)" {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := r.of("X/kind=a", "sec/op", 3); err == nil {
		t.Error("a round that is missing is not missed")
	}
	if _, err := r.of("X/kind=b", "sec/op", 2); err == nil {
		t.Error("a benchmark that is missing is not missed")
	}
}

func TestWriteKeepsTheRest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "benchmarks.md")
	const document = "# Before\n<!-- written by make x -->\n%s<!-- end of what make x writes -->\nAfter\n"
	if err := os.WriteFile(path, fmt.Appendf(nil, document, "old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := write(path, "make x", "here", "| new |\n"); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if want := fmt.Sprintf(document, "here\n\n| new |\n"); err != nil || string(got) != want {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
	if err := write(path, "make y", "here", "| new |\n"); err == nil {
		t.Error("a document without a place for the table is taken")
	}
}

func TestSectionsAreChosenByName(t *testing.T) {
	all, err := choose(sections(), "")
	if err != nil || len(all) != len(sections()) {
		t.Errorf("all: %d of %d, %v", len(all), len(sections()), err)
	}
	if one, err := choose(all, all[0].name); err != nil || len(one) != 1 || one[0].name != all[0].name {
		t.Errorf("one: %v, %v", one, err)
	}
	if _, err := choose(all, all[0].name+",nothing"); err == nil {
		t.Error("a section that does not exist is taken")
	}
}

func TestAPercentileIsAMeasuredOne(t *testing.T) {
	var durations []time.Duration
	for i := range 200 {
		durations = append(durations, time.Duration(200-i))
	}
	for of, want := range map[int]time.Duration{50: 100, 99: 198, 100: 200} {
		if got := percentile(durations, of); got != want {
			t.Errorf("p%d is %d, want %d", of, got, want)
		}
	}
	if got := percentile(durations[:1], 99); got != 200 {
		t.Errorf("of one it is %d", got)
	}
}
