package sidecar

import (
	"context"
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/actors"
)

func TestASecretThatSomebodyTouchedIsMended(t *testing.T) { //nolint:tparallel // see inBothPlacements
	inBothPlacements(t, func(here place) {
		t, admin := here.T, here.admin
		stranger := newTeam(t, admin, "stranger")
		waitForToken(t, stranger)
		foreign, err := stranger.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name  string
			touch func(context.Context, *corev1.Secret) error
		}{
			{"deleted", func(ctx context.Context, s *corev1.Secret) error { return admin.Delete(ctx, s) }},
			{"emptied", edit(admin, func(s *corev1.Secret) { s.Data = nil })},
			{"given another team's token", edit(admin, func(s *corev1.Secret) { s.Data[tenancy.TokenKey] = []byte(foreign) })},
			{"stripped of its annotations", edit(admin, func(s *corev1.Secret) { s.Annotations = nil })},
			{"said to be fresh for good", edit(admin, func(s *corev1.Secret) {
				s.Data[tenancy.TokenKey] = []byte("none")
				s.Annotations["bulkhead.dev/refresh-after"] = "2099-01-01T00:00:00Z"
				s.Annotations["bulkhead.dev/expires"] = "2099-01-01T00:00:00Z"
			})},
			{"made anew as something else", func(ctx context.Context, s *corev1.Secret) error {
				return replaceBySomethingElse(ctx, admin, s)
			}},
		} {
			t.Run(c.name, func(t *testing.T) {
				// By its schedule alone it would be mended too, later. A busy machine may be
				// as late as that once.
				const tries = 3
				for range tries {
					if mendedBefore(t, admin, c.touch) {
						return
					}
				}
				t.Error("it is mended as it is due, and no sooner")
			})
		}
	})
}

// mendedBefore reports whether a Secret that somebody touches is mended before its token
// is due.
func mendedBefore(t *testing.T, admin *actors.ClusterAdmin, touch func(context.Context, *corev1.Secret) error) bool {
	t.Helper()
	// A namespace of its own: what keeps being edited is mended ever more rarely.
	team := newTeam(t, admin, "by-hand")
	waitForToken(t, team)
	secret, err := team.TokenSecret(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := touch(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	within(t, soon, "the Secret mended", func(ctx context.Context) error {
		s, err := secretOf(ctx, admin, live(team))
		if err != nil {
			return err
		}
		if s.ResourceVersion == secret.ResourceVersion {
			t.Fatal("the Secret was not touched: the test would show nothing")
		}
		return isTokenOf(ctx, team, s)
	})
	return time.Now().Before(refreshOf(t, secret))
}

// edit changes a Secret as somebody with an editor would.
func edit(admin *actors.ClusterAdmin, change func(*corev1.Secret)) func(context.Context, *corev1.Secret) error {
	return func(ctx context.Context, secret *corev1.Secret) error {
		changed := secret.DeepCopy()
		change(changed)
		return admin.Patch(ctx, changed, client.MergeFrom(secret))
	}
}

// replaceBySomethingElse puts a Secret of another type, which no Secret can change,
// where the token Secret was.
func replaceBySomethingElse(ctx context.Context, admin *actors.ClusterAdmin, secret *corev1.Secret) error {
	other := object(tenancy.SecretRef{Namespace: secret.Namespace, Name: secret.Name})
	other.StringData = map[string]string{"a": "b"}
	// The sidecar may be quicker than we are.
	return poll(ctx, soon, func(ctx context.Context) error {
		var old corev1.Secret
		if err := admin.Get(ctx, client.ObjectKeyFromObject(other), &old); err == nil {
			err = errors.Join(edit(admin, func(s *corev1.Secret) { s.Finalizers = nil })(ctx, &old), client.IgnoreNotFound(admin.Delete(ctx, &old)))
			if err != nil {
				return err
			}
		}
		made := other.DeepCopy()
		return admin.Create(ctx, made)
	})
}

func object(ref tenancy.SecretRef) *corev1.Secret {
	secret := &corev1.Secret{}
	secret.Namespace, secret.Name = ref.Namespace, ref.Name
	return secret
}
