package webhook

import (
	"context"

	corev1 "k8s.io/api/core/v1"
)

// ruleC2: no volume comes in with an in-tree source. Injection makes it a csi
// one, which the other rules judge; where that was passed over, the volume would
// be reached by the in-tree path, which takes its Secret from annotations.
var ruleC2 = rule[*review[corev1.PersistentVolume]]{id: "BH-C2", check: func(_ context.Context, _ *lookup, r *review[corev1.PersistentVolume]) ([]Denial, error) {
	if r.old != nil || r.object.Spec.PortworxVolume == nil {
		return nil, nil
	}
	return []Denial{{
		Field:   "spec.portworxVolume",
		Message: "a new volume of this driver has a csi source",
		Mend:    "write spec.csi with the driver's name and the volume's id as volumeHandle",
	}}, nil
}}
