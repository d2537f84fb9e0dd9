package webhook

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
)

// Whoever may make a claim may make one of megabytes: the API server asks
// admission before it counts.
func TestAnObjectWithEndlessFaultsGetsAShortAnswer(t *testing.T) {
	g := &gate{lookup: world(t), metrics: newMetrics(prometheus.NewRegistry())}
	many := claim(func(c *corev1.PersistentVolumeClaim) {
		for i := range 20000 {
			c.Annotations[fmt.Sprintf("csi.storage.k8s.io/%d", i)] = ""
		}
		c.Annotations["csi.storage.k8s.io/"+strings.Repeat("x", 100_000)] = ""
	})
	req := request(t, many, nil, "mallory")
	req.Kind.Version, req.Kind.Kind = "v1", "PersistentVolumeClaim"
	answer := g.validate(t.Context(), req)
	if answer.Allowed || !strings.Contains(answer.Result.Message, "and 19991 more") {
		t.Errorf("allowed %v: %.300s", answer.Allowed, answer.Result.Message)
	}
	size := len(answer.Result.Message)
	for _, cause := range answer.Result.Details.Causes {
		size += len(cause.Field) + len(cause.Message)
	}
	if size > 32<<10 {
		t.Errorf("the answer has %d bytes", size)
	}
	if len(answer.Result.Details.Causes) != reasonsShown+1 {
		t.Errorf("%d causes", len(answer.Result.Details.Causes))
	}
}

func TestAnObjectThatNobodyCouldStoreIsNotRead(t *testing.T) {
	g := &gate{lookup: world(t), metrics: newMetrics(prometheus.NewRegistry())}
	req := request(t, claim(annotate("x", strings.Repeat("x", largestObject))), nil, "mallory")
	req.Kind.Version, req.Kind.Kind = "v1", "PersistentVolumeClaim"
	for _, answer := range []func() bool{
		func() bool {
			a := g.mutate(t.Context(), req)
			return !a.Allowed && a.Result.Code == http.StatusRequestEntityTooLarge
		},
		func() bool {
			a := g.validate(t.Context(), req)
			return !a.Allowed && a.Result.Code == http.StatusRequestEntityTooLarge
		},
	} {
		if !answer() {
			t.Error("it was read")
		}
	}
}
