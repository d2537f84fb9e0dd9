// Package plugin is kubectl bulkhead at work on real clusters: on one that ran for
// a while with one shared token, as those do that there are, before and after it
// is brought under management.
package plugin

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

var (
	env      *cluster.Environment
	binaries *cluster.Binaries
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var err error
	if binaries, err = cluster.Build(ctx, os.Stderr); err == nil {
		env, err = cluster.New(cluster.Config{Binaries: binaries})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "set the stage:", err)
		return 1
	}
	defer env.Stop()
	if err := env.StartStorage(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "set the stage:", err)
		return 1
	}
	code := m.Run()
	if code != 0 {
		fmt.Fprintln(os.Stderr, "logs of every component:", env.Logs())
		return code
	}
	env.Stop()
	_ = os.RemoveAll(env.Dir)
	return 0
}
