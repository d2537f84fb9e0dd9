package webhook

import storagev1 "k8s.io/api/storage/v1"

// attributesClasses are only judged: they name no Secret, the calls they cause
// use that of the volume.
var attributesClasses = resource[storagev1.VolumeAttributesClass, *review[storagev1.VolumeAttributesClass]]{
	prepare: asIs[storagev1.VolumeAttributesClass],
	rules:   []rule[*review[storagev1.VolumeAttributesClass]]{ruleA9Class},
}
