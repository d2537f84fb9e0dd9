// Package e2e installs both charts with helm as Pods on a real node, as a user
// does, and looks at what users see.
package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
	"github.com/bulkhead-dev/bulkhead/test/node"
)

// stage is the site of all tests, nil where there can be none.
var stage *site

func TestMain(m *testing.M) { os.Exit(node.Main(func() int { return run(m) })) }

// run sets the stage once for all tests: it takes most of the time.
func run(m *testing.M) int {
	if os.Geteuid() != 0 {
		return m.Run() // each test says so
	}
	code := 1
	env, err := build(context.Background())
	if err == nil {
		code = m.Run()
		select {
		case err = <-env.Failed():
			code = 1
		default:
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if env == nil {
		return code
	}
	env.Stop()
	if code != 0 {
		fmt.Fprintln(os.Stderr, "logs:", env.Logs())
	} else if err := os.RemoveAll(env.Dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return code
}

// TestEndToEnd tests the site step by step: one stands on the other.
func TestEndToEnd(t *testing.T) {
	node.Require(t)
	t.Run("all is ready within a minute of the install", testReady)
	t.Run("Pods run from their first start", testNoRestart)
	t.Run("helm test passes for both charts", testHelmTest)
	t.Run("Pods mount their claims", testMounts)
	t.Run("the demo's story by kubectl alone", testStory)
	t.Run("no claim fails while replicas go, versions, values and certificates change", testRolling)
	t.Run("without the webhook plain claims go on and what it judges is refused", testAbsence)
	t.Run("no Pod has restarted since", testNoRestart)
	t.Run("an uninstall leaves volumes their tokens", testUninstall)
	t.Run("without Bulkhead no Pod gets a volume by its name alone", testWithout)
	t.Run("a Pod runs on a volume of the shared token", testShared)
	t.Run("another install takes over what is there", testReinstall)
	t.Run("and the Pod runs on as its volume is adopted", testAdopted)
	t.Run("what the documents say works as it stands there", testDocuments)
}

func build(ctx context.Context) (*cluster.Environment, error) {
	binaries, err := cluster.BuildNode(ctx, os.Stderr)
	if err != nil {
		return nil, err
	}
	env, err := cluster.New(cluster.Config{Binaries: binaries, Address: node.Address, Out: os.Stderr})
	if err != nil {
		return nil, err
	}
	stage, err = newSite(ctx, env, binaries)
	if err != nil {
		return env, errors.Join(errors.New("set the stage"), err)
	}
	return env, nil
}
