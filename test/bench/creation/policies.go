package creation

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
	"text/template"

	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/actors"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// ByHand is a MutatingAdmissionPolicy and a ValidatingAdmissionPolicy that do what
// Bulkhead's first layer does to a claim of one class.
var ByHand = Kind{
	Name: "policies by hand", cluster: "policies", guards: true,
	start: func(ctx context.Context, s *Stage, name string) (*cluster.Compute, error) {
		compute, err := s.env.StartControlPlane(ctx, name)
		if err != nil {
			return nil, err
		}
		const version = "admissionregistration.k8s.io/v1"
		manifests, err := policies(language{
			Mutating: "MutatingAdmissionPolicy", MutatingVersion: version,
			Validating: "ValidatingAdmissionPolicy", ValidatingVersion: version, Bindings: true,
		})
		if err != nil {
			return nil, err
		}
		return compute, compute.Apply(ctx, manifests)
	},
}

// language is whose policies they are.
type language struct {
	Mutating, MutatingVersion, Validating, ValidatingVersion string
	// Bindings is whether policies are bound, and their actions said there.
	Bindings bool
}

//go:embed policies.yaml.tmpl
var policiesTemplate string

// policies are the same in each language.
func policies(in language) ([]byte, error) {
	t, err := template.New("policies").Parse(policiesTemplate)
	if err != nil {
		return nil, fmt.Errorf("policies: %w", err)
	}
	list := func(of []string) string {
		text, _ := json.Marshal(of) // of strings it cannot fail
		return string(text)
	}
	var manifests bytes.Buffer
	err = t.Execute(&manifests, struct {
		language
		Class, NameKey, NamePrefix, NamespaceKey, TokenNamespace string
		SourceKinds, Forbidden                                   string
		SourceFields, KeyFields, ForbiddenPrefixes               []string
	}{
		language: in,
		Class:    actors.CSIClass, NameKey: tenancy.AuthSecretName, NamespaceKey: tenancy.AuthSecretNamespace,
		NamePrefix: strings.TrimSuffix(layout.Template, tenancy.Placeholder), TokenNamespace: layout.TokenNamespace,
		SourceKinds: list([]string{"PersistentVolumeClaim.", "VolumeSnapshot.snapshot.storage.k8s.io"}),
		Forbidden:   list(tenancy.ForbiddenKeys()), ForbiddenPrefixes: tenancy.ForbiddenPrefixes(),
		SourceFields: []string{"dataSource", "dataSourceRef"}, KeyFields: []string{"annotations", "labels"},
	})
	if err != nil {
		return nil, fmt.Errorf("policies: %w", err)
	}
	return manifests.Bytes(), nil
}
