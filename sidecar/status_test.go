package sidecar

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func TestANewReplicaLeavesTheNameOfTheCluster(t *testing.T) {
	configMaps := fake.NewClientset().CoreV1().ConfigMaps("bulkhead-system")
	first := newStatus("pxd.portworx.com", Selection{})
	first.of("k14c1")
	second := newStatus("other.example.com", Selection{}) // it has proven no token yet
	for _, s := range []*status{first, second} {
		if err := s.write(t.Context(), configMaps, "bulkhead-system"); err != nil {
			t.Fatal(err)
		}
	}
	is, err := configMaps.Get(t.Context(), StatusName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if is.Data[StatusCluster] != "k14c1" || is.Data[StatusDriver] != "other.example.com" {
		t.Errorf("it says %v", is.Data)
	}
}
