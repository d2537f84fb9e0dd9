package creation

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"slices"

	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// Kyverno has the policies that ByHand has. Its admission controller runs without
// the others, and without reports, which would cost it more. The stage must have
// been built with it.
var Kyverno = Kind{Name: "Kyverno", cluster: "kyverno", guards: true, badRequests: true, asked: "kyverno", start: startKyverno}

func startKyverno(ctx context.Context, s *Stage, name string) (*cluster.Compute, error) {
	compute, err := s.env.StartControlPlane(ctx, name)
	if err != nil {
		return nil, err
	}
	manifests, err := kyvernoManifests(s.binaries.KyvernoManifests)
	if err != nil {
		return nil, err
	}
	if err := compute.Apply(ctx, manifests); err != nil {
		return nil, err
	}
	addresses, err := cluster.FreeAddresses(3)
	if err != nil {
		return nil, err
	}
	_, webhookPort, err := net.SplitHostPort(addresses[0])
	if err != nil {
		return nil, fmt.Errorf("address of Kyverno: %w", err)
	}
	_, metricsPort, err := net.SplitHostPort(addresses[1])
	if err != nil {
		return nil, fmt.Errorf("address of Kyverno: %w", err)
	}
	_, err = s.env.StartProgram(ctx, cluster.Program{
		Name: "kyverno", Path: s.binaries.Kyverno,
		Env: []string{
			"KYVERNO_NAMESPACE=kyverno", "KYVERNO_SERVICEACCOUNT_NAME=kyverno-admission-controller",
			"KYVERNO_ROLE_NAME=kyverno:admission-controller", "KYVERNO_DEPLOYMENT=kyverno-admission-controller",
			"KYVERNO_SVC=kyverno-svc", "KYVERNO_POD_NAME=local", "INIT_CONFIG=kyverno", "METRICS_CONFIG=kyverno-metrics",
		},
		Args: []string{
			"--kubeconfig=" + compute.Kubeconfig,
			"--serverIP=" + addresses[0], "--webhookServerHost=127.0.0.1", "--webhookServerPort=" + webhookPort, "--servicePort=443",
			"--metricsHost=127.0.0.1", "--metricsPort=" + metricsPort, "--otelConfig=prometheus",
			"--controllerRuntimeMetricsAddress=" + addresses[2],
			"--caSecretName=kyverno-svc.kyverno.svc.kyverno-tls-ca", "--tlsSecretName=kyverno-svc.kyverno.svc.kyverno-tls-pair",
			"--tlsKeyAlgorithm=RSA",
			"--backgroundServiceAccountName=system:serviceaccount:kyverno:kyverno-background-controller",
			"--reportsServiceAccountName=system:serviceaccount:kyverno:kyverno-reports-controller",
			"--crdWatcher=false", "--admissionReports=false", "--enablePolicyException=false", "--protectManagedResources=false",
			"--omitEvents=PolicyApplied,PolicySkipped", "--loggingFormat=text", "--v=2",
		},
	})
	if err != nil {
		return nil, err
	}
	const version = "policies.kyverno.io/v1"
	if manifests, err = policies(language{
		Mutating: "MutatingPolicy", MutatingVersion: version, Validating: "ValidatingPolicy", ValidatingVersion: version,
	}); err != nil {
		return nil, err
	}
	// It guards its own policies, once it is there.
	return compute, cluster.Poll(ctx, patience, func(ctx context.Context) error { return compute.Apply(ctx, manifests) })
}

// kyvernoManifests are those of an installation without what takes Pods.
func kyvernoManifests(file string) ([]byte, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("manifests of Kyverno: %w", err)
	}
	separator := []byte("\n---\n")
	documents := bytes.Split(raw, separator)
	documents = slices.DeleteFunc(documents, func(document []byte) bool {
		var object struct {
			Kind string `json:"kind"`
		}
		// What cannot be read is left for Apply to complain about.
		return yaml.Unmarshal(document, &object) == nil && (object.Kind == "Deployment" || object.Kind == "Service")
	})
	return bytes.Join(documents, separator), nil
}
