package certs

import (
	"crypto/x509"

	"github.com/prometheus/client_golang/prometheus"
)

// Phases of the CA, as the metric names them.
const (
	phaseStable    = "stable"    // one CA is trusted
	phaseAnnounced = "announced" // the next one is trusted and does not sign yet
	phaseRetiring  = "retiring"  // the next one signs, the old one is still trusted
)

type metrics struct {
	expiry *prometheus.GaugeVec
	phase  *prometheus.GaugeVec
	errors prometheus.Counter
}

func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{
		expiry: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "bulkhead_webhook_certificate_expiry_timestamp_seconds",
			Help: "When the certificate ends, in seconds since the epoch: serving, and in mode self the ca that signs.",
		}, []string{"certificate"}),
		phase: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "bulkhead_webhook_ca_phase",
			Help: "1 for the phase that the CA is in: stable, announced (the next CA is trusted and does not sign yet), retiring (it signs, the old one is still trusted).",
		}, []string{"phase"}),
		errors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "bulkhead_webhook_certificate_errors_total",
			Help: "Looks at CA, serving certificate and webhook configurations that failed.",
		}),
	}
	registry.MustRegister(m.expiry, m.phase, m.errors)
	return m
}

func (m *metrics) serving(c *x509.Certificate) {
	m.expiry.WithLabelValues("serving").Set(float64(c.NotAfter.Unix()))
}

func (m *metrics) state(st *state) {
	m.expiry.WithLabelValues("ca").Set(float64(st.signer.certificate.NotAfter.Unix()))
	phase := phaseStable
	switch {
	case st.next != nil:
		phase = phaseAnnounced
	case len(st.previous) > 0:
		phase = phaseRetiring
	}
	for _, p := range []string{phaseStable, phaseAnnounced, phaseRetiring} {
		value := 0.0
		if p == phase {
			value = 1
		}
		m.phase.WithLabelValues(p).Set(value)
	}
}
