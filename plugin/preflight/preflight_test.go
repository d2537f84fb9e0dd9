package preflight

import (
	"context"
	"errors"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/version"

	"github.com/bulkhead-dev/bulkhead/plugin/output"
	"github.com/bulkhead-dev/bulkhead/plugin/output/outputtest"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

func TestImagesWithKnownHoles(t *testing.T) {
	for image, want := range map[string]Status{
		"registry.k8s.io/sig-storage/csi-provisioner:v1.2.1":        Failure,
		"registry.k8s.io/sig-storage/csi-provisioner:v1.2.2":        OK,
		"registry.k8s.io/sig-storage/csi-provisioner:v1.1.0":        Failure, // a line that was not mended
		"registry.k8s.io/sig-storage/csi-provisioner:v1.3.0":        Failure,
		"registry.k8s.io/sig-storage/csi-provisioner:v6.3.0":        OK,
		"quay.io:443/k8scsi/csi-provisioner:v0.4.3":                 OK,
		"quay.io/k8scsi/csi-snapshotter:v1.2.1":                     Failure,
		"quay.io/k8scsi/csi-snapshotter:v8.7.0":                     OK,
		"csi-resizer:v0.2.0":                                        Failure,
		"csi-resizer:v2.3.0":                                        OK,
		"k8s.gcr.io/sig-storage/snapshot-controller:v2.1.2":         Failure,
		"k8s.gcr.io/sig-storage/snapshot-controller:v3.0.1":         Failure,
		"k8s.gcr.io/sig-storage/snapshot-controller:v8.7.0":         OK,
		"example.com/csi-provisioner@sha256:abc":                    Note,
		"example.com/csi-provisioner:latest":                        Note,
		"example.com/csi-provisioner:v1.2.1@sha256:abc":             Failure,
		"example.com/not-csi-provisioner:v1.2.1":                    "",
		"registry.k8s.io/sig-storage/livenessprobe:v2.0.0":          "",
		"registry.k8s.io/sig-storage/csi-node-driver-registrar:0.1": "",
	} {
		found, is := judgeImage(image)
		got := Status("")
		switch {
		case len(found) > 0:
			got = found[0].Status
		case is:
			got = OK
		}
		if got != want {
			t.Errorf("%s: %q, want %q", image, got, want)
		}
	}
	for _, h := range holes {
		if h.affects(version.MustParseGeneric("99.0")) || h.source == "" {
			t.Errorf("%s: a version to come is affected, or nobody says where this is told", h.image)
		}
	}
}

func TestSkew(t *testing.T) {
	for by, want := range map[time.Duration]Status{
		0: OK, 29 * time.Second: OK, -29 * time.Second: OK, 45 * time.Second: Warning, -45 * time.Second: Warning,
		2 * time.Minute: Failure, -time.Hour: Failure,
	} {
		if got := judgeSkew("one", "other", by)[0].Status; got != want {
			t.Errorf("%s: %s, want %s", by, got, want)
		}
	}
}

func TestEnabledGates(t *testing.T) {
	on := enabledGates([]byte("# HELP x\nkubernetes_feature_enabled{name=\"A\",stage=\"ALPHA\"} 1\n" +
		"kubernetes_feature_enabled{name=\"B\",stage=\"BETA\"} 0\nother{name=\"C\"} 1\n"))
	if !on["A"] || on["B"] || on["C"] {
		t.Errorf("got %v, want A alone", on)
	}
}

func TestPorts(t *testing.T) {
	targets := []string{"10.0.0.1:9001", "10.0.0.1:2379"}
	for log, want := range map[string]Status{
		"10.0.0.1:9001 closed\n10.0.0.1:2379 closed\n": OK,
		"10.0.0.1:9001 open\n10.0.0.1:2379 closed\n":   Failure,
		"10.0.0.1:9001 closed\n":                       Failure, // it did not tell of one
		"exec format error":                            Failure,
	} {
		if got := judgePorts(log, targets)[0].Status; got != want {
			t.Errorf("%q: %s, want %s", log, got, want)
		}
	}
}

func TestLiteralSecrets(t *testing.T) {
	refs := literals(map[string]string{
		"csi.storage.k8s.io/provisioner-secret-name": "shared", "csi.storage.k8s.io/provisioner-secret-namespace": "kube-system",
		"csi.storage.k8s.io/node-publish-secret-name": "shared", "csi.storage.k8s.io/node-publish-secret-namespace": "${pvc.namespace}",
		"openstorage.io/auth-secret-name": "other", "openstorage.io/auth-secret-namespace": "portworx", "repl": "2",
	})
	if len(refs) != 2 || !refs[tenancy.SecretRef{Namespace: "kube-system", Name: "shared"}] || !refs[tenancy.SecretRef{Namespace: "portworx", Name: "other"}] {
		t.Errorf("got %v", refs)
	}
}

func TestEveryCheckSaysSomething(t *testing.T) {
	cfg := &Config{}
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		look func(context.Context, *Config) ([]Result, error)
		want Status
	}{
		"nothing found": {func(context.Context, *Config) ([]Result, error) { return nil, nil }, OK},
		"an error":      {func(context.Context, *Config) ([]Result, error) { return nil, broken }, Failure},
	} {
		if got := run(t.Context(), cfg, check{"x", c.look}); len(got) != 1 || got[0].Status != c.want || got[0].Check != "x" {
			t.Errorf("%s: %+v, want %s", name, got, c.want)
		}
	}
	if _, err := Run(t.Context(), Config{Skip: []string{"no-such"}}); err == nil {
		t.Error("a check that is not there was skipped")
	}
}

func TestPrint(t *testing.T) {
	r := &Report{Results: []Result{
		{Check: "kubernetes-version", Status: OK, Found: "Kubernetes v1.37.2"},
		{Check: "storage-ports", Status: Skipped, Found: "not asked for", Mend: "--storage-node"},
		{Check: "webhooks", Status: Note, Found: "MutatingWebhookConfiguration evil\x1b[2Jname is asked too about storageclasses", Mend: "see to it"},
		{Check: "shared-tokens", Status: Warning, Found: "classes a, b share a token\nwith a new line", Mend: "delete it"},
		{Check: "storage-guest", Status: Failure, Found: "guest access is on", Mend: "turn it off"},
	}}
	if !r.Failed() {
		t.Error("a failure is none")
	}
	for file, format := range map[string]output.Format{"report.txt": output.Table, "report.json": output.JSON} {
		outputtest.Golden(t, file, format, r, r.Print)
	}
}
