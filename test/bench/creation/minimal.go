package creation

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"

	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/actors"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// Minimal is a webhook of controller-runtime that is asked twice about each claim
// and looks nothing up.
var Minimal = Kind{
	Name: "minimal webhook", cluster: "minimal", guards: true, asked: "minimal-webhook",
	start: func(ctx context.Context, s *Stage, name string) (*cluster.Compute, error) {
		compute, err := s.env.StartControlPlane(ctx, name)
		if err != nil {
			return nil, err
		}
		return compute, s.startMinimal(ctx, compute, minimal{})
	},
}

// LayersByHand are the policies of ByHand before the webhook of Minimal, which is
// asked only of what the policies leave open, never of a plain claim, and keeps all
// claims in a cache as who looks references up must. So it is the least that both
// layers together cost a plain claim.
var LayersByHand = Kind{
	Name: "policies and match conditions by hand", cluster: "layers", guards: true, asked: "layers-webhook",
	start: func(ctx context.Context, s *Stage, name string) (*cluster.Compute, error) {
		compute, err := ByHand.start(ctx, s, name)
		if err != nil {
			return nil, err
		}
		const (
			ofClass  = `has(object.spec.storageClassName) && object.spec.storageClassName == "` + actors.CSIClass + `"`
			unmarked = `!(has(object.metadata.annotations) && "` + tenancy.AuthSecretName + `" in object.metadata.annotations)`
			refers   = `(has(object.spec.dataSource) || has(object.spec.dataSourceRef) || has(object.spec.volumeName) || has(object.spec.selector))`
		)
		return compute, s.startMinimal(ctx, compute, minimal{ofClass + " && " + unmarked, ofClass + " && " + refers, true})
	},
}

// minimal is how the webhook is used.
type minimal struct {
	// Match conditions under which it is asked to inject and to judge, of all claims if
	// empty.
	mutate, validate string
	// watches is whether it keeps all claims in a cache.
	watches bool
}

// startMinimal starts the webhook and has it asked.
func (s *Stage) startMinimal(ctx context.Context, compute *cluster.Compute, use minimal) error {
	process := compute.Name + "-webhook"
	certificates := filepath.Join(s.env.Dir, process+"-certificates")
	certPEM, keyPEM, err := compute.ServerCertificate("127.0.0.1")
	if err != nil {
		return err
	}
	if err := os.Mkdir(certificates, 0o700); err != nil {
		return fmt.Errorf("certificates of the minimal webhook: %w", err)
	}
	for file, content := range map[string][]byte{"tls.crt": certPEM, "tls.key": keyPEM} {
		if err := os.WriteFile(filepath.Join(certificates, file), content, 0o600); err != nil {
			return fmt.Errorf("certificates of the minimal webhook: %w", err)
		}
	}
	addresses, err := cluster.FreeAddresses(1)
	if err != nil {
		return err
	}
	args := []string{"--address=" + addresses[0], "--certificates=" + certificates, "--class=" + actors.CSIClass}
	if use.watches {
		args = append(args, "--kubeconfig="+compute.Kubeconfig)
	}
	_, err = s.env.StartProgram(ctx, cluster.Program{
		Name: process, Path: s.minimal, Args: args,
		Ready: func(ctx context.Context) error {
			// Whether it answers right is proven through the API server.
			connection, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(ctx, "tcp", addresses[0])
			if err != nil {
				return err
			}
			return connection.Close()
		},
	})
	if err != nil {
		return err
	}
	ca, err := os.ReadFile(compute.CAFile())
	if err != nil {
		return fmt.Errorf("register the minimal webhook: %w", err)
	}
	conditions := func(expression string) string {
		if expression == "" {
			return "[]"
		}
		return fmt.Sprintf("[{name: asked, expression: '%s'}]", expression)
	}
	return compute.Apply(ctx, fmt.Appendf(nil, registration, addresses[0], base64.StdEncoding.EncodeToString(ca), conditions(use.mutate), conditions(use.validate)))
}

// registration takes the address, the CA in base64, and the match conditions.
const registration = `apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: minimal}
webhooks:
- name: mutate.example.com
  admissionReviewVersions: [v1]
  clientConfig: {url: "https://%[1]s/mutate", caBundle: %[2]s}
  failurePolicy: Fail
  sideEffects: None
  matchConditions: %[3]s
  rules:
  - {apiGroups: [""], apiVersions: [v1], resources: [persistentvolumeclaims], operations: [CREATE]}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: minimal}
webhooks:
- name: validate.example.com
  admissionReviewVersions: [v1]
  clientConfig: {url: "https://%[1]s/validate", caBundle: %[2]s}
  failurePolicy: Fail
  sideEffects: None
  matchConditions: %[4]s
  rules:
  - {apiGroups: [""], apiVersions: [v1], resources: [persistentvolumeclaims], operations: [CREATE, UPDATE]}
`
