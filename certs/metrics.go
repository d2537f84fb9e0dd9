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

// Certificates, as the metrics name them.
const (
	certificateServing = "serving"
	certificateCA      = "ca"
)

type metrics struct {
	expiry    *prometheus.GaugeVec
	rotations *prometheus.CounterVec
	phase     *prometheus.GaugeVec
	injected  prometheus.Gauge
	errors    prometheus.Counter
}

func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{
		expiry: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "bulkhead_webhook_certificate_expiry_timestamp_seconds",
			Help: "When the certificate ends, in seconds since the epoch: serving, and in mode self the ca that signs.",
		}, []string{"certificate"}),
		rotations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bulkhead_webhook_certificate_rotations_total",
			Help: "Certificates that another one was replaced by: serving, of this replica; in mode self ca, where this replica let the next one sign.",
		}, []string{"certificate"}),
		phase: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "bulkhead_webhook_ca_phase",
			Help: "1 for the phase that the CA is in: stable, announced (the next CA is trusted and does not sign yet), retiring (it signs, the old one is still trusted).",
		}, []string{"phase"}),
		injected: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "bulkhead_webhook_ca_bundle_injected",
			Help: "1 if all webhooks of both configurations trusted the serving certificate when they were last read.",
		}),
		errors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "bulkhead_webhook_certificate_errors_total",
			Help: "Looks at CA, serving certificate and webhook configurations that failed.",
		}),
	}
	registry.MustRegister(m.expiry, m.rotations, m.phase, m.injected, m.errors)
	return m
}

// DescribeMetrics registers every metric of this package with nothing behind it,
// for who lists them.
func DescribeMetrics(registry prometheus.Registerer) { newMetrics(registry) }

// serving notes another serving certificate, the first if replaced is false.
func (m *metrics) serving(c *x509.Certificate, replaced bool) {
	m.expiry.WithLabelValues(certificateServing).Set(float64(c.NotAfter.Unix()))
	if rotations := m.rotations.WithLabelValues(certificateServing); replaced {
		rotations.Inc()
	}
}

// changed notes that this replica has changed the CA.
func (m *metrics) changed(change string) {
	if change == changePromote || change == changeExpired {
		m.rotations.WithLabelValues(certificateCA).Inc()
	}
}

func (m *metrics) injection(trusted bool) {
	value := 0.0
	if trusted {
		value = 1
	}
	m.injected.Set(value)
}

func (m *metrics) state(st *state) {
	m.expiry.WithLabelValues(certificateCA).Set(float64(st.signer.certificate.NotAfter.Unix()))
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
