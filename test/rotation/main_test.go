// Package rotation replaces signing keys while tokens are minted and used: two
// replicas of the issuer behind one URL, two storage servers that cache its keys
// each for itself, and a load on all four.
package rotation

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/go-logr/logr"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

const (
	computeName = "k14c1"
	// tokenLife is the shortest that a policy allows, so that the last token of
	// an old key ends within a test.
	tokenLife = 10 * time.Second
	// patience is for what takes a second or two on an idle machine.
	patience = 30 * time.Second
	// account is the ServiceAccount that the policy lets mint tenants' tokens.
	accountNamespace, accountName = "bulkhead-system", "bulkhead-sidecar"
)

// The stage: a compute cluster whose ServiceAccount asks for tokens. Each test
// has issuers and storage servers of its own.
var (
	binaries *cluster.Binaries
	stage    *cluster.Environment
	compute  *cluster.Compute
	// registration is the compute cluster's entry in a policy.
	registration string
)

func TestMain(m *testing.M) {
	ctrllog.SetLogger(logr.Discard())
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	err := setStage(ctx)
	if stage != nil {
		defer stage.Stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "set the stage:", err)
		return 1
	}
	code := m.Run()
	select {
	case err := <-stage.Failed():
		fmt.Fprintln(os.Stderr, "a component ended by itself:", err)
		code = 1
	default:
	}
	if code != 0 {
		fmt.Fprintln(os.Stderr, "logs of every component: folders logs under", stage.Dir)
		return code
	}
	stage.Stop()
	_ = os.RemoveAll(stage.Dir)
	return 0
}

func setStage(ctx context.Context) error {
	var err error
	if binaries, err = cluster.Build(ctx, os.Stderr); err != nil {
		return err
	}
	if stage, err = cluster.New(cluster.Config{Binaries: binaries}); err != nil {
		return err
	}
	if err := stage.StartStorage(ctx); err != nil {
		return err
	}
	if compute, err = stage.StartCompute(ctx, computeName); err != nil {
		return err
	}
	if registration, err = stage.Register(ctx, compute); err != nil {
		return err
	}
	return compute.Apply(ctx, fmt.Appendf(nil, `{apiVersion: v1, kind: Namespace, metadata: {name: %[1]s}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: %[2]s, namespace: %[1]s}}
`, accountNamespace, accountName))
}
