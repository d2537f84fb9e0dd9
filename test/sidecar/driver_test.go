package sidecar

import (
	"context"
	"errors"
	"testing"

	"github.com/bulkhead-dev/bulkhead/test/actors"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// What cannot be proven is not published, and the sidecar outlives the driver.
func TestTheDriverRestarts(t *testing.T) {
	admin := central()
	old := newTeam(t, admin, "before-driver")
	waitForToken(t, old)
	token, err := old.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sidecar, driver := admin.Compute.Sidecar, admin.Compute.Process("csinode")
	restarts := sidecar.Restarts()
	failures, err := sidecar.MetricSum(t.Context(), "bulkhead_sidecar_failures_total")
	if err != nil {
		t.Fatal(err)
	}
	driver.Kill()
	t.Cleanup(func() {
		if !driver.Running() {
			if err := driver.Start(context.Background()); err != nil {
				t.Error(err)
			}
		}
	})
	late := newTeam(t, admin, "without-driver")
	within(t, soon, "a failed proof", func(ctx context.Context) error {
		now, err := sidecar.MetricSum(ctx, "bulkhead_sidecar_failures_total")
		if err == nil && now == failures {
			err = errors.New("no failure is counted")
		}
		return err
	})
	if err := gone(t.Context(), admin, object(live(late))); err != nil {
		t.Errorf("a token was published without proof: %v", err)
	}
	if now, err := old.Token(t.Context()); err != nil || now != token {
		// It may have been replaced just before the driver went, but not by nothing.
		if err := holdsTokenOf(t.Context(), old, live(old)); err != nil {
			t.Errorf("the token from before: %v", err)
		}
	}
	if err := driver.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitForToken(t, late)
	mustBind(t, late, late.Claim("claim", actors.CSIClass))
	if got := sidecar.Restarts(); got != restarts || !sidecar.Running() {
		t.Errorf("the sidecar was started again %d times", got-restarts)
	}
	wantNoFailure(t)
}

// The other proof: without the driver's socket, which belongs to root.
func TestTokensAreProvenOverTheSDKWhereTheSidecarHasNoSocket(t *testing.T) {
	admin := central()
	upgrade(t, admin, cluster.Installation{Values: "sidecar: {proof: sdk}"})
	driver := admin.Compute.Process("csinode")
	driver.Kill()
	t.Cleanup(func() {
		if err := driver.Start(context.Background()); err != nil {
			t.Error(err)
		}
	})
	waitForToken(t, newTeam(t, admin, "over-sdk"))
}
