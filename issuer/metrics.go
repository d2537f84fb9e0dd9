package issuer

import (
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics of the issuer. A label never takes a value that a caller chooses: the
// cluster is the policy's name for it, empty if the credential did not verify.
type metrics struct {
	registry         *prometheus.Registry
	exchanges        *prometheus.CounterVec
	duration         prometheus.Histogram
	policyLoaded     prometheus.Gauge
	policyGeneration prometheus.Counter
	clusters         prometheus.Gauge
	keysLoaded       prometheus.Gauge
	keyKnown         *prometheus.GaugeVec
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		exchanges: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bulkhead_issuer_exchanges_total",
			Help: "Token exchanges by compute cluster and result: granted, or the OAuth error code.",
		}, []string{"cluster", "result"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "bulkhead_issuer_exchange_duration_seconds",
			Help:    "Time to answer a token exchange.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .05, .25, 1},
		}),
		policyLoaded: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "bulkhead_issuer_policy_loaded",
			Help: "1 if the policy file is the policy in force, 0 if the file is bad and an older policy is.",
		}),
		policyGeneration: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "bulkhead_issuer_policy_generation",
			Help: "How many policies came into force since the start.",
		}),
		clusters: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "bulkhead_issuer_clusters",
			Help: "Compute clusters in the policy in force.",
		}),
		keysLoaded: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "bulkhead_issuer_keys_loaded",
			Help: "1 if the key folder is what signs, 0 if it is bad and older keys do.",
		}),
		keyKnown: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "bulkhead_issuer_storage_key_known",
			Help: "1 if the storage endpoint has accepted every published key, 0 as long as it may still believe a revoked one.",
		}, []string{"endpoint"}),
	}
	m.register(m.registry)
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) register(registry prometheus.Registerer) {
	registry.MustRegister(m.exchanges, m.duration, m.policyLoaded, m.policyGeneration, m.clusters, m.keysLoaded, m.keyKnown)
}

// DescribeMetrics registers every metric of this package with nothing behind it,
// for who lists them.
func DescribeMetrics(registry prometheus.Registerer) {
	newMetrics().register(registry)
	registry.MustRegister(newKeyCollector(nil, nil))
}

// watchKeys reports the keys at each scrape.
func (m *metrics) watchKeys(ring func() *keyRing, now func() time.Time) {
	m.registry.MustRegister(newKeyCollector(ring, now))
}

type keyCollector struct {
	ring func() *keyRing
	now  func() time.Time
	age  *prometheus.Desc
}

func newKeyCollector(ring func() *keyRing, now func() time.Time) *keyCollector {
	return &keyCollector{ring: ring, now: now, age: prometheus.NewDesc(
		"bulkhead_issuer_key_age_seconds",
		"How long each key has been signing, below zero for one that will; NaN for a key without a schedule.",
		[]string{"key", "algorithm", "signing"}, nil)}
}

// Describe implements prometheus.Collector.
func (c *keyCollector) Describe(out chan<- *prometheus.Desc) { out <- c.age }

// Collect implements prometheus.Collector.
func (c *keyCollector) Collect(out chan<- prometheus.Metric) {
	ring, now := c.ring(), c.now()
	signing := ring.signing(now)
	for _, k := range ring.keys {
		age := math.NaN()
		if !k.sign.IsZero() {
			age = now.Sub(k.sign).Seconds()
		}
		out <- prometheus.MustNewConstMetric(c.age, prometheus.GaugeValue, age, k.name, k.method.Alg(), strconv.FormatBool(k == signing))
	}
}

func (m *metrics) policyChanged(p *Policy) {
	m.policyGeneration.Inc()
	m.clusters.Set(float64(len(p.Clusters)))
}

func (m *metrics) observe(e auditEntry, took time.Duration) {
	m.exchanges.WithLabelValues(e.cluster(), e.result()).Inc()
	m.duration.Observe(took.Seconds())
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

func loaded(err error) float64 {
	if err != nil {
		return 0
	}
	return 1
}
