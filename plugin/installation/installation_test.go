package installation

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

const flagsOfAnInstall = `
- --issuer-url=https://issuer.storage.example
- --issuer-ca-file=/etc/bulkhead/issuer-ca/ca.crt
- --credential-file=/var/run/secrets/bulkhead/token
- --storage-cluster=px-1
- --sdk-address=storage.example:9020
- --sdk-tls=true
- --csi-driver=pxd.portworx.com
- --in-tree-plugin=kubernetes.io/portworx-volume
- --provisioner-service-account=portworx/px-csi
- --sidecar-service-account=bulkhead-system/bulkhead-sidecar
- --tunable=class
- --stork=refuse
- --rule-mode=BH-A4=warn
- "--exempt-user=system:serviceaccount:velero:velero=BH-B5,BH-C1"
- --placement=central
- --token-namespace=bulkhead-tokens
- --token-secret-template=bulkhead-${namespace}
`

func configMapOf(flags string) *corev1.ConfigMap {
	return &corev1.ConfigMap{Data: map[string]string{flagsKey: flags, versionKey: "1.2.3"}}
}

func TestParseReadsTheFlagsOfTheWebhook(t *testing.T) {
	i, err := parse(configMapOf(flagsOfAnInstall))
	if err != nil {
		t.Fatal(err)
	}
	if i.Version != "1.2.3" || i.Issuer.IssuerURL != "https://issuer.storage.example" || i.Storage.Address != "storage.example:9020" || !i.Storage.TLS {
		t.Errorf("version, issuer or storage: %+v", i)
	}
	if got := i.Layout.TokenSecret("team-a"); got != (tenancy.SecretRef{Namespace: "bulkhead-tokens", Name: "bulkhead-team-a"}) {
		t.Errorf("token Secret of team-a: %s", got)
	}
	if !i.Rules.Drivers.IsCSI("pxd.portworx.com") || i.Rules.Policy.Tunable != "class" || i.Rules.Policy.ExemptUsers[0] != "system:serviceaccount:velero:velero=BH-B5,BH-C1" {
		t.Errorf("rules: %+v", i.Rules)
	}
}

func TestParseRefusesWhatItDoesNotKnow(t *testing.T) {
	for name, flags := range map[string]string{
		"a flag of another version": flagsOfAnInstall + "- --colour=blue\n",
		"no YAML list":              "flags: {}",
		"a layout without a place":  "- --placement=nowhere\n",
	} {
		if _, err := parse(configMapOf(flags)); err == nil {
			t.Errorf("%s: parsed", name)
		} else if name == "a flag of another version" && !strings.Contains(err.Error(), "1.2.3") {
			t.Errorf("%s: the error does not name the version to use: %v", name, err)
		}
	}
}
