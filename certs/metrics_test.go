package certs

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestMetrics(t *testing.T) {
	w := newWorld(t)
	registry := prometheus.NewRegistry()
	s, l := w.replica(func(c *SelfConfig) { c.Registry = registry })
	w.look(s)
	want := func(phase string, leaf, ca time.Time) {
		t.Helper()
		value := map[string]string{phaseStable: "0", phaseAnnounced: "0", phaseRetiring: "0", phase: "1"}
		var text strings.Builder
		for _, p := range []string{phaseAnnounced, phaseRetiring, phaseStable} {
			text.WriteString(`bulkhead_webhook_ca_phase{phase="` + p + `"} ` + value[p] + "\n")
		}
		head := "# HELP bulkhead_webhook_ca_phase 1 for the phase that the CA is in: stable, announced (the next CA is trusted and does not sign yet), retiring (it signs, the old one is still trusted).\n# TYPE bulkhead_webhook_ca_phase gauge\n"
		if err := testutil.GatherAndCompare(registry, strings.NewReader(head+text.String()), "bulkhead_webhook_ca_phase"); err != nil {
			t.Error(err)
		}
		for name, at := range map[string]time.Time{"serving": leaf, "ca": ca} {
			if got := testutil.ToFloat64(s.metrics.expiry.WithLabelValues(name)); got != float64(at.Unix()) {
				t.Errorf("%s expires at %v, want %v", name, got, at.Unix())
			}
		}
	}
	began := w.clock.Now()
	want(phaseStable, began.Add(leafLife), began.Add(testLife))
	if testutil.ToFloat64(s.metrics.injected) != 1 {
		t.Error("the bundle is there and the metric says no")
	}
	w.setBundles(nil)
	if _, err := s.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	if testutil.ToFloat64(s.metrics.injected) != 0 {
		t.Error("the bundle was away and the metric says no such thing")
	}
	w.request(RotateCA, "x")
	w.look(s)
	want(phaseAnnounced, began.Add(leafLife), began.Add(testLife))
	w.pass(testDelay, s)
	want(phaseRetiring, w.clock.Now().Add(leafLife), began.Add(testLife))

	for _, certificate := range []string{certificateServing, certificateCA} {
		if n := testutil.ToFloat64(s.metrics.rotations.WithLabelValues(certificate)); n != 1 {
			t.Errorf("%s: %v rotations, want 1", certificate, n)
		}
	}
	l.set(func(string, client.Object) error { return errCut })
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for testutil.ToFloat64(s.metrics.errors) == 0 && t.Context().Err() == nil {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	if err := s.Start(ctx); err != nil {
		t.Error(err)
	}
}
