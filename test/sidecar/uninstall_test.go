package sidecar

import (
	"context"
	"strings"
	"testing"
)

// Nobody is left to take our finalizer off a token Secret, so the uninstall does.
// Installed again, the sidecar puts it back.
func TestAfterAnUninstallNamespacesCanBeDeleted(t *testing.T) {
	admin := tenant()
	team, staying := newTeam(t, admin, "uninstalled"), newTeam(t, admin, "staying")
	waitForToken(t, team)
	waitForToken(t, staying)
	secret, err := team.TokenSecret(t.Context())
	if err != nil || len(secret.Finalizers) == 0 {
		t.Fatalf("finalizers are %v, %v: the test would show nothing", secret.Finalizers, err)
	}
	said, err := stage.Env.Uninstall(t.Context(), admin.Compute, inTenants)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said, "released") {
		t.Errorf("the Job says %q", said)
	}
	deleteNamespace(t, team)
	within(t, patience, "the namespace gone", func(ctx context.Context) error {
		return gone(ctx, admin, team.Namespace.DeepCopy())
	})
	if err := stage.Env.InstallAs(t.Context(), admin.Compute, inTenants); err != nil {
		t.Fatal(err)
	}
	late := newTeam(t, admin, "installed-again")
	waitForToken(t, late)
	within(t, 2*tokenLife, "the finalizer is back", func(ctx context.Context) error {
		secret, err := secretOf(ctx, admin, live(staying))
		if err == nil && len(secret.Finalizers) == 0 {
			err = context.DeadlineExceeded
		}
		return err
	})
}
