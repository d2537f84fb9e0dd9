// Package charts renders both charts for every Kubernetes that they are for, in
// several sets of values, and shows what comes out to a real API server; what
// they say about metrics and alerts is held against the real binaries.
package charts

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"

	"github.com/bulkhead-dev/bulkhead/test/actors"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

const (
	clusterName = "k14c1"
	tokenLife   = time.Hour
	// exempt is a namespace that no rule judges.
	exempt = "exempt"
)

var (
	// stage has one compute cluster with Bulkhead, and the CRDs of the operators
	// whose kinds the charts know.
	stage    actors.Stage
	binaries *cluster.Binaries
	api      *dynamic.DynamicClient
	kinds    *restmapper.DeferredDiscoveryRESTMapper
)

func TestMain(m *testing.M) {
	stage.Ready = ready
	stage.Installations = map[string]cluster.Installation{
		clusterName: {Values: "webhook: {rules: {exemptNamespaces: [" + exempt + "]}, firstLayer: {mutating: false, validating: false}}"},
	}
	os.Exit(actors.RunOnStage(m, &stage, tokenLife, clusterName))
}

func admin() *actors.ClusterAdmin { return stage.Admins[0] }

func ready(ctx context.Context) (err error) {
	if binaries, err = cluster.Build(ctx, io.Discard); err != nil {
		return err
	}
	compute := admin().Compute
	if api, err = dynamic.NewForConfig(compute.RESTConfig()); err != nil {
		return err
	}
	kinds = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(compute.Client.Discovery()))
	for module, files := range map[string][]string{
		"github.com/prometheus-operator/prometheus-operator": {
			"example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
			"example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
		},
		"github.com/cert-manager/cert-manager": {
			"deploy/crds/cert-manager.io_certificates.yaml",
			"deploy/crds/cert-manager.io_issuers.yaml",
		},
	} {
		dir, err := moduleFolder(ctx, module)
		if err != nil {
			return err
		}
		for _, file := range files {
			raw, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				return err
			}
			if err := compute.Apply(ctx, raw); err != nil {
				return err
			}
		}
	}
	return nil
}
