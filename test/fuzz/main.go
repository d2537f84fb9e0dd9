// Command fuzz runs every fuzz target for a while, at the lowest priority, and
// writes what came of it to a document.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bulkhead-dev/bulkhead/test/measured"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	flags := flag.NewFlagSet("fuzz", flag.ContinueOnError)
	root := flags.String("root", ".", "folder of the checkout")
	output := flags.String("output", "docs/benchmarks.md", "document to write, relative to the root; nothing is written if empty")
	length := flags.Duration("for", 5*time.Minute, "how long each target runs, from when its seeds are tried")
	only := flags.String("only", "", "expression that finds the targets to run; the others keep their rows")
	atOnce := flags.Int("at-once", 1, "how many targets run at a time, each with one worker")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("flags: %w", err)
	}
	pattern, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("--only: %w", err)
	}
	if *atOnce < 1 {
		return fmt.Errorf("--at-once=%d: want at least one", *atOnce)
	}
	dir, err := os.MkdirTemp("", "bulkhead-fuzz-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	stamp, err := stampOf(ctx, *root)
	if err != nil {
		return err
	}
	s := &session{root: *root, dir: dir, length: *length}
	all, err := s.targets(ctx)
	if err != nil {
		return err
	}
	document := ""
	if *output != "" {
		document = filepath.Join(*root, *output)
	}
	var mu sync.Mutex
	var found []error
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(*atOnce)
	for _, t := range all {
		if !pattern.MatchString(t.name) {
			continue
		}
		group.Go(func() error {
			r, crash, err := s.fuzz(ctx, t, document != "")
			if err != nil {
				return err
			}
			r.stamp = stamp
			mu.Lock()
			defer mu.Unlock()
			fmt.Println(r)
			if crash != nil {
				fmt.Fprintln(os.Stderr, crash)
			}
			if r.failed {
				found = append(found, fmt.Errorf("%s of %s failed", t.name, t.pkg)) //nolint:err113 // it is the verdict
			}
			if document == "" {
				return nil
			}
			// After each, so that a run that is ended early is not lost.
			return keep(document, all, r)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return errors.Join(found...)
}

// stampOf says when and of which commit.
func stampOf(ctx context.Context, root string) (string, error) {
	commit, err := measured.Commit(ctx, root)
	if err != nil {
		return "", err
	}
	return time.Now().UTC().Format(time.DateOnly) + " " + commit, nil
}
