// Command bench measures what Bulkhead costs, each thing against what it is
// compared with in the same run, prints one table and writes it to a document.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/bulkhead-dev/bulkhead/test/measured"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// section is a part of the table: what is measured together.
type section struct {
	name    string
	measure func(context.Context, *session) ([]row, error)
}

// sections are all there are, in the order of the table.
func sections() []section {
	return []section{
		{"admission", admission},
		{"apiserver", apiserver},
		{"issuer", issuer},
		{"sidecar", sidecar},
		{"memory", memory},
		{"start", start},
	}
}

// peerSections are apart: what they measure against takes minutes to build.
func peerSections() []section {
	return []section{
		{"apiserver", peers},
	}
}

// session is one run: all that it measures is measured in the same rounds.
type session struct {
	root     string // folder of the checkout
	rounds   int
	progress io.Writer
}

func run(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var names []string
	for _, s := range sections() {
		names = append(names, s.name)
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	root := flags.String("root", ".", "folder of the checkout")
	output := flags.String("output", "docs/benchmarks.md", "document to write, relative to the root; nothing is written if empty")
	rounds := flags.Int("rounds", defaultRounds, "how often each thing is measured, all of a section in each round")
	only := flags.String("only", "", "sections to measure, with commas between: "+strings.Join(names, ",")+"; all of them if empty; else no document is written")
	withPeers := flags.Bool("peers", false, "measure against other products instead, where there are any for a section")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("flags: %w", err)
	}
	if *rounds < 1 {
		return fmt.Errorf("--rounds=%d: want at least one", *rounds)
	}
	from, by := sections(), "make bench"
	if *withPeers {
		from, by = peerSections(), "make bench-peers"
	}
	chosen, err := choose(from, *only)
	if err != nil {
		return err
	}
	here, err := describe(ctx, *root, *rounds) // what is measured, whatever becomes of the files meanwhile
	if err != nil {
		return err
	}
	var rows []row
	for _, s := range chosen {
		measured, err := s.measure(ctx, &session{root: *root, rounds: *rounds, progress: os.Stderr})
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		rows = append(rows, measured...)
	}
	text := table(rows)
	if _, err := io.WriteString(os.Stdout, here+"\n\n"+text); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	if *output == "" || *only != "" {
		return nil
	}
	return write(filepath.Join(*root, *output), by, here, text)
}

// choose are the sections of these names, all for none.
func choose(from []section, only string) ([]section, error) {
	if only == "" {
		return from, nil
	}
	var chosen []section
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(from, func(s section) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("--only=%s: there is no section %q", only, name)
		}
		chosen = append(chosen, from[i])
	}
	return chosen, nil
}

// describe says where and when.
func describe(ctx context.Context, root string, rounds int) (string, error) {
	commit, err := measured.Commit(ctx, root)
	if err != nil {
		return "", err
	}
	machine, err := measured.Machine()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s, commit %s, %s, %d rounds.", time.Now().UTC().Format(time.DateOnly), commit, machine, rounds), nil
}
