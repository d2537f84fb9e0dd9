package creation

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"

	"github.com/bulkhead-dev/bulkhead/test/actors"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// Minimal is a webhook of controller-runtime that is asked twice about each claim
// and looks nothing up.
var Minimal = Kind{Name: "minimal webhook", cluster: "minimal", guards: true, asked: "minimal-webhook", start: startMinimal}

func startMinimal(ctx context.Context, s *Stage, name string) (*cluster.Compute, error) {
	compute, err := s.env.StartControlPlane(ctx, name)
	if err != nil {
		return nil, err
	}
	certificates := filepath.Join(s.env.Dir, "minimal-certificates")
	certPEM, keyPEM, err := compute.ServerCertificate("127.0.0.1")
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(certificates, 0o700); err != nil {
		return nil, fmt.Errorf("certificates of the minimal webhook: %w", err)
	}
	for file, content := range map[string][]byte{"tls.crt": certPEM, "tls.key": keyPEM} {
		if err := os.WriteFile(filepath.Join(certificates, file), content, 0o600); err != nil {
			return nil, fmt.Errorf("certificates of the minimal webhook: %w", err)
		}
	}
	addresses, err := cluster.FreeAddresses(1)
	if err != nil {
		return nil, err
	}
	_, err = s.env.StartProgram(ctx, cluster.Program{
		Name: "minimal-webhook", Path: s.minimal,
		Args: []string{"--address=" + addresses[0], "--certificates=" + certificates, "--class=" + actors.CSIClass},
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
		return nil, err
	}
	ca, err := os.ReadFile(compute.CAFile())
	if err != nil {
		return nil, fmt.Errorf("register the minimal webhook: %w", err)
	}
	return compute, compute.Apply(ctx, fmt.Appendf(nil, registration, addresses[0], base64.StdEncoding.EncodeToString(ca)))
}

// registration takes the address and the CA, in base64.
const registration = `apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: minimal}
webhooks:
- name: mutate.example.com
  admissionReviewVersions: [v1]
  clientConfig: {url: "https://%[1]s/mutate", caBundle: %[2]s}
  failurePolicy: Fail
  sideEffects: None
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
  rules:
  - {apiGroups: [""], apiVersions: [v1], resources: [persistentvolumeclaims], operations: [CREATE, UPDATE]}
`
