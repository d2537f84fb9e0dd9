package sidecar

import "github.com/prometheus/client_golang/prometheus"

// tokenMetrics of the sidecar, beside those that csi-lib-utils keeps of the
// calls to the driver. No label names a tenant.
type tokenMetrics struct {
	published *prometheus.CounterVec
	failures  prometheus.Counter
}

func newTokenMetrics(registry prometheus.Registerer) *tokenMetrics {
	m := &tokenMetrics{
		published: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bulkhead_sidecar_tokens_published_total",
			Help: "Tokens written to Secrets, by the state of the namespace: live or retired.",
		}, []string{"state"}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "bulkhead_sidecar_failures_total",
			Help: "Attempts to keep a token fresh that failed and will be repeated.",
		}),
	}
	registry.MustRegister(m.published, m.failures)
	return m
}
