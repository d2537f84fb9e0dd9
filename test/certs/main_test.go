// Package certs replaces the webhook's serving certificates and their CA while a
// real API server calls it: by its own replicas, from files, and past real Helm.
package certs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/test/actors"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

const (
	// selfName is the cluster whose webhooks, replicas, have a CA of their own, and
	// filesName the one whose webhook serves from files.
	selfName, filesName = "k14c1", "k14c2"
	replicas            = 3
	// trustDelay is short enough to watch a rotation, and long enough for a watch on a
	// busy machine.
	trustDelay = 6 * time.Second
	// patience is for what takes seconds on an idle machine.
	patience = 90 * time.Second
)

var (
	stage actors.Stage
	// mounted is where the webhook of the second cluster has its Secret.
	mounted folder
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "bulkhead-certs-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "set the stage:", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if mounted, err = newFolder(dir); err != nil {
		fmt.Fprintln(os.Stderr, "set the stage:", err)
		return 1
	}
	// All claims shall be sent to the webhook.
	const values = "webhook: {timeoutSeconds: 30, firstLayer: {mutating: false, validating: false}, certificates: %s}"
	stage.Installations = map[string]cluster.Installation{
		selfName: {
			WebhookReplicas: replicas,
			Values:          fmt.Sprintf(values, fmt.Sprintf("{self: {trustDelay: %s}}", trustDelay)),
		},
		filesName: {
			Values: fmt.Sprintf(values, "{mode: existing, existing: {secretName: serving}}"),
			WebhookArgs: []string{
				"--tls-cert-file=" + filepath.Join(dir, "tls.crt"), "--tls-key-file=" + filepath.Join(dir, "tls.key"),
				"--tls-ca-file=" + filepath.Join(dir, "ca.crt"),
			},
		},
	}
	stage.Ready = makeClass
	return actors.RunOnStage(m, &stage, cluster.DefaultTokenLife, selfName, filesName)
}

// within polls until try returns nil.
func within(t *testing.T, limit time.Duration, what string, try func(context.Context) error) {
	t.Helper()
	if err := cluster.Poll(t.Context(), limit, try); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
