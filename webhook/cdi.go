package webhook

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// cdiGroup holds the objects by which KubeVirt's importer copies disks
// (kubevirt.io/containerized-data-importer-api, pkg/apis/core/v1beta1).
const cdiGroup = "cdi.kubevirt.io"

// cdiObject is what of any CDI object names a source. No kind has all of it.
type cdiObject struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec struct {
		cdiSpec

		// Template is that of a DataImportCron.
		Template struct {
			Spec cdiSpec `json:"spec"`
		} `json:"template"`
		// Target is that of an ObjectTransfer.
		Target cdiReference `json:"target"`
	} `json:"spec"`
}

// cdiSpec is that of a DataVolume, or what others have in common with it.
type cdiSpec struct {
	Source struct {
		// An ObjectTransfer's source is a reference itself.
		cdiReference

		PVC        *cdiReference `json:"pvc"`
		Snapshot   *cdiReference `json:"snapshot"`
		DataSource *cdiReference `json:"dataSource"`
	} `json:"source"`
	SourceRef *cdiReference `json:"sourceRef"`
}

type cdiReference struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// cdiObjects are only judged: the claims that they make pass by here.
var cdiObjects = resource[cdiObject, *review[cdiObject]]{
	prepare: asIs[cdiObject],
	rules:   []rule[*review[cdiObject]]{ruleD5},
}
