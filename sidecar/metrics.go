package sidecar

import (
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/tenancy"
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

// DescribeMetrics registers every metric of this package with nothing behind it,
// for who lists them.
func DescribeMetrics(registry prometheus.Registerer) {
	newMetrics(registry)
	watchTokens(registry, nil, nil)
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
	nextLifeDesc = prometheus.NewDesc("bulkhead_sidecar_next_expiry_life_seconds",
		"How long the whole life of the token is that runs out first; absent if there is none or its Secret holds no token.", nil, nil)
)

type tokenCollector struct{ tokens tokenStore }

func (c *tokenCollector) Describe(out chan<- *prometheus.Desc) {
	out <- tokensDesc
	out <- nextExpiryDesc
	out <- nextLifeDesc
}

func (c *tokenCollector) Collect(out chan<- prometheus.Metric) {
	secrets, err := c.tokens.all()
	if err != nil {
		out <- prometheus.NewInvalidMetric(tokensDesc, err)
		return
	}
	counts := map[state]int{live: 0, retired: 0, content: 0}
	var next time.Time
	var first *corev1.Secret
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
			next, first = r.expires, secret
		}
	}
	for s, n := range counts {
		out <- prometheus.MustNewConstMetric(tokensDesc, prometheus.GaugeValue, float64(n), string(s))
	}
	if !next.IsZero() {
		out <- prometheus.MustNewConstMetric(nextExpiryDesc, prometheus.GaugeValue, float64(next.Unix()))
	}
	if first == nil {
		return
	}
	// Of this one alone, as it has to be read from the token.
	if life, ok := lifeOf(first); ok {
		out <- prometheus.MustNewConstMetric(nextLifeDesc, prometheus.GaugeValue, life.Seconds())
	}
}

// lifeOf is the time between the iat and the exp of the token in a Secret.
func lifeOf(s *corev1.Secret) (life time.Duration, ok bool) {
	var claims jwt.RegisteredClaims
	// Unverified: it was proven before it was written.
	if _, _, err := jwt.NewParser().ParseUnverified(string(s.Data[tenancy.TokenKey]), &claims); err != nil {
		return 0, false
	}
	if claims.IssuedAt == nil || claims.ExpiresAt == nil {
		return 0, false
	}
	life = claims.ExpiresAt.Sub(claims.IssuedAt.Time)
	return life, life > 0
}
