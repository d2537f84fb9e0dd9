package webhook

import corev1 "k8s.io/api/core/v1"

// namespaces are only judged.
var namespaces = resource[corev1.Namespace, *review[corev1.Namespace]]{
	prepare: asIs[corev1.Namespace],
	rules:   []rule[*review[corev1.Namespace]]{ruleE3},
}
