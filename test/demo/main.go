// Command demo tells the story of an operator who offers Kubernetes clusters as
// a service on one storage cluster, on real components, and checks each step.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

func main() {
	dir := flag.String("dir", "", "run folder for logs and sockets; a new temporary one if empty")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	cluster.StopWithParent(ctx, cancel)
	failed, err := run(ctx, *dir)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
	}
	if err != nil || failed {
		os.Exit(1)
	}
}

// tokenLife is short, so that refreshes can be watched.
const tokenLife = time.Minute

// run tells the whole story. The error is why it could not be told to its end.
func run(ctx context.Context, dir string) (failed bool, err error) {
	binaries, err := cluster.Build(ctx, os.Stdout)
	if err != nil {
		return false, err
	}
	env, err := cluster.New(cluster.Config{Dir: dir, Binaries: binaries, TokenLife: tokenLife, Out: indented{os.Stdout}})
	if err != nil {
		return false, err
	}
	defer env.Stop()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go func() {
		select {
		case err := <-env.Failed():
			stop(err)
		case <-ctx.Done():
		}
	}()

	s := &story{out: os.Stdout, env: env}
	s.tell(ctx)
	s.line("")
	if s.failed > 0 || ctx.Err() != nil {
		s.line("logs of every component: %s", env.Logs())
	} else if dir == "" {
		defer func() { _ = os.RemoveAll(env.Dir) }()
	}
	s.line("demo: %d checks passed, %d failed", s.passed, s.failed)
	if ctx.Err() != nil {
		return true, fmt.Errorf("interrupted: %w", context.Cause(ctx))
	}
	return s.failed > 0, nil
}
