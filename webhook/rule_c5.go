package webhook

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// ruleC5: a Pod has no inline volume of ours. The attributes of a csi one are
// parameters of the driver that no class bounds, and an in-tree one names a raw
// volume and is mounted as guest.
var ruleC5 = rule[*review[corev1.Pod]]{id: "BH-C5", check: func(_ context.Context, l *lookup, r *review[corev1.Pod]) ([]Denial, error) {
	if r.old != nil {
		return nil, nil // the volumes of a Pod are immutable
	}
	var denials []Denial
	for i, v := range r.object.Spec.Volumes {
		var source string
		switch {
		case v.CSI != nil && (l.drivers.IsCSI(v.CSI.Driver) || l.drivers.Unguarded(v.CSI.Driver)):
			source = "csi"
		case v.PortworxVolume != nil:
			source = "portworxVolume"
		default:
			continue
		}
		denials = append(denials, inlineVolume.at(fmt.Sprintf("spec.volumes[%d].%s", i, source)))
	}
	return denials, nil
}}

var inlineVolume = Denial{
	Message: "a Pod uses volumes of this driver by claims alone",
	Mend:    "write persistentVolumeClaim, or ephemeral with a volumeClaimTemplate",
}
