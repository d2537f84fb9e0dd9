// Command bench measures what Bulkhead costs, each thing against what it is
// compared with in the same run, prints one table and writes it to a document.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	root := flags.String("root", ".", "folder of the checkout")
	output := flags.String("output", "docs/benchmarks.md", "document to write, relative to the root; nothing is written if empty")
	rounds := flags.Int("rounds", defaultRounds, "how often each thing is measured, all of them in each round")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("flags: %w", err)
	}
	if *rounds < 1 {
		return fmt.Errorf("--rounds=%d: want at least one", *rounds)
	}
	rows, err := admission(ctx, *root, *rounds, os.Stderr)
	if err != nil {
		return err
	}
	here, err := describe(ctx, *root, *rounds)
	if err != nil {
		return err
	}
	text := table(rows)
	if _, err := io.WriteString(os.Stdout, text); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	if *output == "" {
		return nil
	}
	return write(*root+"/"+*output, here, text)
}

// describe says where and when.
func describe(ctx context.Context, root string, rounds int) (string, error) {
	git := exec.CommandContext(ctx, "git", "-C", root, "describe", "--always", "--dirty")
	commit, err := git.Output()
	if err != nil {
		return "", fmt.Errorf("the commit: %w", err)
	}
	machine, err := machine()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s, commit %s, %s, %d rounds.", time.Now().UTC().Format(time.DateOnly), strings.TrimSpace(string(commit)), machine, rounds), nil
}
