package issuer

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// metrics of the issuer. No label takes a value that a caller chooses.
type metrics struct {
	registry     *prometheus.Registry
	exchanges    *prometheus.CounterVec
	duration     prometheus.Histogram
	policyLoaded prometheus.Gauge
	clusters     prometheus.Gauge
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		exchanges: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bulkhead_issuer_exchanges_total",
			Help: "Token exchanges by result: ok, or the OAuth error code.",
		}, []string{"result"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "bulkhead_issuer_exchange_duration_seconds",
			Help:    "Time to answer a token exchange.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .05, .25, 1},
		}),
		policyLoaded: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "bulkhead_issuer_policy_loaded",
			Help: "1 if the policy file is the policy in force, 0 if the file is bad and an older policy is.",
		}),
		clusters: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "bulkhead_issuer_clusters",
			Help: "Compute clusters in the policy in force.",
		}),
	}
	m.registry.MustRegister(m.exchanges, m.duration, m.policyLoaded, m.clusters,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) observe(f *fault, took time.Duration) {
	result := "ok"
	if f != nil {
		result = f.code
	}
	m.exchanges.WithLabelValues(result).Inc()
	m.duration.Observe(took.Seconds())
}
