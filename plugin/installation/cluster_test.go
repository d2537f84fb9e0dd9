package installation

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	metadatafake "k8s.io/client-go/metadata/fake"

	"github.com/bulkhead-dev/bulkhead/sidecar"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// TestTheNameOfTheClusterIsNoTenantsToSay has a tenant write into its own token
// Secret, which it may in placement tenant, that it is one of another cluster:
// volumes would be handed to tenants of that.
func TestTheNameOfTheClusterIsNoTenantsToSay(t *testing.T) {
	tenant := tenancy.Tenant{Namespace: "aaa", UID: "0b1d3a52-5a0c-4f3e-9d2f-0c6f8a1b2c3d"}
	for name, c := range map[string]struct {
		placement tenancy.Placement
		told      map[string]string
		want      string
	}{
		"placement tenant":                         {tenancy.InTenant, map[string]string{sidecar.StatusCluster: "k14c1"}, "k14c1"},
		"placement tenant, and nobody says it":     {tenancy.InTenant, nil, ""},
		"placement central":                        {tenancy.Central, map[string]string{sidecar.StatusCluster: "k14c1"}, "k14c1"},
		"placement central, with an older sidecar": {tenancy.Central, nil, "k14c2"},
	} {
		layout := tenancy.Layout{Placement: c.placement, TokenNamespace: "bulkhead-tokens", Template: "bulkhead-" + tenancy.Placeholder}
		if c.placement == tenancy.InTenant {
			layout.Template = "px-token"
		}
		ref := layout.TokenSecret(tenant.Namespace)
		annotations := tenant.Origin()
		annotations["bulkhead.dev/subject"] = tenant.Subject("k14c2")
		secret := &metav1.PartialObjectMetadata{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
			ObjectMeta: metav1.ObjectMeta{Namespace: ref.Namespace, Name: ref.Name, Annotations: annotations, Labels: map[string]string{}},
		}
		labels, err := metav1.ParseToLabelSelector(sidecar.LiveTokens)
		if err != nil {
			t.Fatal(err)
		}
		secret.Labels = labels.MatchLabels
		scheme := runtime.NewScheme()
		if err := metav1.AddMetaToScheme(scheme); err != nil {
			t.Fatal(err)
		}
		status := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: DefaultNamespace, Name: sidecar.StatusName}, Data: c.told}
		i := &Installation{Layout: layout}
		if i.cluster, err = toldCluster(t.Context(), fake.NewClientset(status), DefaultNamespace); err != nil {
			t.Fatal(err)
		}
		if got, err := i.Cluster(t.Context(), metadatafake.NewSimpleMetadataClient(scheme, secret)); got != c.want || err != nil {
			t.Errorf("%s: %q (%v), want %q", name, got, err, c.want)
		}
	}
}
