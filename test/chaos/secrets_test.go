package main

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/bulkhead-dev/bulkhead/test/actors"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

func TestAnExpiredTokenIsExcusedByAFaultThatLeavesNoWayToAnother(t *testing.T) {
	for name, test := range map[string]struct {
		fault fault
		// after is how long after the end of the fault the token expires.
		after  time.Duration
		broken bool
	}{
		"no fault":                      {fault{}, 0, true},
		"the issuer was cut off":        {fault{Kind: "issuer-cut", Lane: storageLane}, 0, false},
		"it was, a while before":        {fault{Kind: "issuer-cut", Lane: storageLane}, 20 * time.Second, false},
		"it was, long before":           {fault{Kind: "issuer-cut", Lane: storageLane}, time.Minute, true},
		"one issuer was killed":         {fault{Kind: "issuer-kill", Lane: storageLane, Replica: 1}, 0, true},
		"both issuers were killed":      {fault{Kind: "issuer-kill", Lane: storageLane, Replica: all}, 0, false},
		"etcd was away":                 {fault{Kind: "etcd-restart", Lane: "k14c1"}, 0, false},
		"another cluster's etcd was":    {fault{Kind: "etcd-restart", Lane: "k14c2"}, 0, true},
		"both webhooks were killed":     {fault{Kind: "webhook-kill", Lane: "k14c1", Replica: all}, 0, true},
		"the issuer was slow":           {fault{Kind: "issuer-slow", Lane: storageLane, Amount: time.Second}, 0, true},
		"the sidecar's clock was wrong": {fault{Kind: "sidecar-clock", Lane: "k14c1", Amount: 5 * time.Second}, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var each checks
				s := &secrets{timeline: &timeline{}, fresh: each.that("fresh"), signatures: map[string]bool{}, ids: map[string]bool{}}
				if test.fault.Kind != "" {
					end := s.timeline.begin(test.fault)
					time.Sleep(longest)
					end()
				}
				time.Sleep(test.after)
				token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{ID: "1", ExpiresAt: jwt.NewNumericDate(time.Now())}).SignedString([]byte("a key of this test"))
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				admin := &actors.ClusterAdmin{Compute: &cluster.Compute{Name: "k14c1"}}
				s.judge(t.Context(), admin, "bulkhead-shop", token)
				if got := s.fresh.breaches > 0; got != test.broken || s.fresh.looks != 1 {
					t.Errorf("broken is %v: %q", got, s.fresh.evidence)
				}
				if !s.ids["1"] || len(s.signatures) != 1 {
					t.Error("the token is not remembered")
				}
			})
		})
	}
}
