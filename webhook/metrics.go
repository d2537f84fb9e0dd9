package webhook

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Decisions, as the metrics name them.
const (
	decisionAllowed   = "allowed"
	decisionInjected  = "injected"
	decisionWarned    = "warned"
	decisionDenied    = "denied"
	decisionUndecided = "undecided"
	decisionInvalid   = "invalid"
)

// metrics of the webhook. No label takes a value that a user chooses, nor tells
// of a tenant.
type metrics struct {
	requests   *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	denials    *prometheus.CounterVec
	exemptions *prometheus.CounterVec
	questions  *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bulkhead_webhook_requests_total",
			Help: "Admission requests by kind of object, operation, step (mutate, validate) and decision.",
		}, []string{"kind", "operation", "step", "decision"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "bulkhead_webhook_request_duration_seconds",
			Help:    "Time to answer an admission request, by kind of object and step.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2, 5},
		}, []string{"kind", "step"}),
		denials: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bulkhead_webhook_denials_total",
			Help: "Reasons to refuse by rule and mode: enforce refused the object, warn let it through.",
		}, []string{"rule", "mode"}),
		exemptions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bulkhead_webhook_exemptions_total",
			Help: "Times that a rule was not asked, as the namespace or the user is exempt.",
		}, []string{"rule"}),
		questions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bulkhead_webhook_storage_questions_total",
			Help: "Questions about raw handles by answer: allowed, denied, remembered (allowed a moment ago), failed.",
		}, []string{"answer"}),
	}
	registry.MustRegister(m.requests, m.duration, m.denials, m.exemptions, m.questions)
	return m
}

// DescribeMetrics registers every metric of this package with nothing behind it,
// for who lists them.
func DescribeMetrics(registry prometheus.Registerer) { newMetrics(registry) }

func (m *metrics) observe(kind, operation, step, decision string, took time.Duration) {
	m.requests.WithLabelValues(kind, operation, step, decision).Inc()
	m.duration.WithLabelValues(kind, step).Observe(took.Seconds())
}
