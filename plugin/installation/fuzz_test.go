package installation

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// Whatever the ConfigMap of an installation holds: it is refused, or its layout is
// one that names Secrets.
func FuzzParse(f *testing.F) {
	f.Add("- --issuer-url=https://issuer.example\n- --storage-cluster=s\n- --token-namespace=tokens\n- --token-secret-template=px-${namespace}\n", "0.1.0")
	f.Add("- --placement=tenant\n- --token-namespace=tokens\n- --token-secret-template=fixed\n", "")
	f.Add("- --help\n", "")
	f.Add("- --rule-mode=A1=warn\n- --\n- x\n", "")
	f.Add("[1, null, {}]", "")
	f.Fuzz(func(t *testing.T, flags, version string) {
		i, err := parse(&corev1.ConfigMap{Data: map[string]string{flagsKey: flags, versionKey: version}})
		if err != nil {
			return
		}
		if err := i.Layout.Validate(); err != nil || i.Rules.Layout != i.Layout || i.Version != version {
			t.Errorf("read %+v: %v", i, err)
		}
	})
}
