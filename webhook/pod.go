package webhook

import corev1 "k8s.io/api/core/v1"

// pods are only judged.
var pods = resource[corev1.Pod, *review[corev1.Pod]]{
	prepare: asIs[corev1.Pod],
	rules:   []rule[*review[corev1.Pod]]{ruleC5},
}
