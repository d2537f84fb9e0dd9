package sidecar

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the sidecar, beside those that csi-lib-utils keeps of the calls to
// the driver. No label names a tenant.
type metrics struct {
	published        *prometheus.CounterVec
	failures         *prometheus.CounterVec
	exchange         prometheus.Histogram
	credentialExpiry prometheus.Gauge
}

func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{
		published: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bulkhead_sidecar_tokens_published_total",
			Help: "Tokens written to Secrets, by what they are for: live, retired or content.",
		}, []string{"state"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bulkhead_sidecar_failures_total",
			Help: "Failures to keep tokens fresh, by where the cause lies: credential, issuer, policy, proof or kubernetes. While the issuer fails, one for each pause.",
		}, []string{"cause"}),
		exchange: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "bulkhead_sidecar_exchange_seconds",
			Help:    "How long the issuer took to answer.",
			Buckets: prometheus.ExponentialBuckets(0.002, 2, 13), //nolint:mnd // 2 ms to 8 s; a request ends after 10
		}),
		credentialExpiry: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "bulkhead_sidecar_credential_expiry_timestamp_seconds",
			Help: "When the credential of this compute cluster ends; the kubelet replaces it long before.",
		}),
	}
	for _, cause := range []string{causeCredential, causeIssuer, causePolicy, causeProof, causeKubernetes} {
		m.failures.WithLabelValues(cause)
	}
	registry.MustRegister(m.published, m.failures, m.exchange, m.credentialExpiry)
	return m
}

// watchTokens shows, at each scrape, what tokens there are.
func watchTokens(registry prometheus.Registerer, tokens tokenStore, g *gate) {
	registry.MustRegister(&tokenCollector{tokens}, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "bulkhead_sidecar_issuer_available",
		Help: "1 while tokens can be had, 0 while the sidecar waits for the issuer, its credential or the storage cluster.",
	}, func() float64 {
		if g.isOpen() {
			return 1
		}
		return 0
	}))
}

var (
	tokensDesc = prometheus.NewDesc("bulkhead_sidecar_tokens",
		"Token Secrets, by what they are for: live, retired or content.", []string{"state"}, nil)
	nextExpiryDesc = prometheus.NewDesc("bulkhead_sidecar_next_expiry_timestamp_seconds",
		"When the first of the live tokens runs out; absent if there are none.", nil, nil)
)

type tokenCollector struct{ tokens tokenStore }

func (c *tokenCollector) Describe(out chan<- *prometheus.Desc) {
	out <- tokensDesc
	out <- nextExpiryDesc
}

func (c *tokenCollector) Collect(out chan<- prometheus.Metric) {
	secrets, err := c.tokens.all()
	if err != nil {
		out <- prometheus.NewInvalidMetric(tokensDesc, err)
		return
	}
	counts := map[state]int{live: 0, retired: 0, content: 0}
	var next time.Time
	for _, secret := range secrets {
		r, ok := recordOf(secret)
		if !ok {
			continue
		}
		s := state(secret.Labels[stateLabel])
		if _, known := counts[s]; !known {
			continue // somebody's label must not become a label of ours
		}
		counts[s]++
		if s == live && (next.IsZero() || r.expires.Before(next)) {
			next = r.expires
		}
	}
	for s, n := range counts {
		out <- prometheus.MustNewConstMetric(tokensDesc, prometheus.GaugeValue, float64(n), string(s))
	}
	if !next.IsZero() {
		out <- prometheus.MustNewConstMetric(nextExpiryDesc, prometheus.GaugeValue, float64(next.Unix()))
	}
}
