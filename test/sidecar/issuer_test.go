package sidecar

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/exchange"
	"github.com/bulkhead-dev/bulkhead/test/actors"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// pool are teams whose tokens are due at different times, so that at any moment
// one of them soon is.
func newPool(t *testing.T) []*actors.Team {
	t.Helper()
	pool := make([]*actors.Team, 6)
	for i := range pool {
		pool[i] = newTeam(t, central(), "pool")
	}
	for _, team := range pool {
		waitForToken(t, team)
	}
	return pool
}

// held are the tokens that the teams have, by team.
func held(t *testing.T, teams []*actors.Team) map[*actors.Team]*corev1.Secret {
	t.Helper()
	secrets := map[*actors.Team]*corev1.Secret{}
	for _, team := range teams {
		secret, err := team.TokenSecret(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		secrets[team] = secret
	}
	return secrets
}

func refreshOf(t *testing.T, secret *corev1.Secret) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, secret.Annotations["bulkhead.dev/refresh-after"])
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// concurrent is how many requests may be under way when the first of them fails:
// the default of --workers, in each of two lanes.
const concurrent = 20

// However the issuer fails, every token stays until it is replaced, a new
// namespace does not make the sidecar ask more often, and all is well within
// seconds of the issuer's return.
func TestWhileTheIssuerFailsTokensStayAndItIsAskedRarely(t *testing.T) {
	pool := newPool(t)
	front := stage.Env.Storage.Front
	always := func(fault cluster.Fault) func() { return func() { spoil(t, central(), fault) } }
	const retryAfter = 4 * time.Second
	for _, c := range []struct {
		name    string
		disturb func()
		// silent is how long there must be no request after the first failures.
		silent time.Duration
		// lasts is how long the issuer fails at least.
		lasts time.Duration
	}{
		{name: "it refuses connections", disturb: front.Refuse, lasts: 5 * time.Second},
		{name: "it never answers", disturb: always(cluster.Hang()), lasts: 12 * time.Second},
		{name: "it answers 500", disturb: always(cluster.Answer(http.StatusInternalServerError, 0)), lasts: 5 * time.Second},
		{name: "it answers 429", disturb: always(cluster.Answer(http.StatusTooManyRequests, retryAfter)), silent: retryAfter, lasts: 6 * time.Second},
		{name: "it answers 200 and garbage", disturb: always(cluster.Answer(http.StatusOK, 0)), lasts: 5 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Cleanup(func() {
				front.Behave(nil)
				if err := front.Open(); err != nil {
					t.Error(err)
				}
			})
			before := held(t, pool)
			attemptsBefore := attempts(t)
			c.disturb()
			began := time.Now() // what came through before does not count
			late := newTeam(t, central(), "late")
			due := time.Time{}
			within(t, patience, "a token that is due", func(context.Context) error {
				for _, secret := range before {
					if at := refreshOf(t, secret); time.Since(at) > time.Second && at.After(began) {
						due = at
					}
				}
				if due.IsZero() || time.Since(began) < c.lasts {
					return errors.New("not yet")
				}
				return nil
			})
			lasted := time.Since(began)
			after, good := held(t, pool), 0
			for team, secret := range before {
				// One that was under way at the beginning may have come through.
				if refreshOf(t, secret).After(began) && after[team].ResourceVersion != secret.ResourceVersion {
					t.Errorf("the Secret of %s was changed", team.Namespace.Name)
				}
				expires, err := time.Parse(time.RFC3339, after[team].Annotations["bulkhead.dev/expires"])
				if err != nil {
					t.Error(err)
				}
				if time.Until(expires) > time.Second {
					good++
					if err := isTokenOf(t.Context(), team, after[team]); err != nil {
						t.Errorf("token of %s: %v", team.Namespace.Name, err)
					}
				}
			}
			if good == 0 {
				t.Error("the test took so long that every token has ended")
			}
			if err := gone(t.Context(), central(), object(live(late))); err != nil {
				t.Errorf("a token while the issuer fails: %v", err)
			}
			asks := asksOf(t, central(), began)
			// Of a doubling pause from one second there are no more than seconds. By
			// the sidecar's own count too, as a refused connection is none here.
			tried := attempts(t) - attemptsBefore
			if most := concurrent + int(lasted.Seconds()); len(asks) > most || tried > most || tried == 0 {
				t.Errorf("%d requests, %d by the sidecar's count, in %v; want some, at most %d", len(asks), tried, lasted, most)
			}
			if c.silent > 0 {
				for _, ask := range asks {
					if wait := ask.When.Sub(asks[0].When); wait > time.Second && wait < c.silent-100*time.Millisecond {
						t.Errorf("a request %v after the first, though told to wait for %v", wait, c.silent)
					}
				}
			}
			front.Behave(nil)
			if err := front.Open(); err != nil {
				t.Fatal(err)
			}
			back := time.Now()
			waitForToken(t, late)
			within(t, soon, "all tokens fresh", func(ctx context.Context) error {
				for _, team := range pool {
					secret, err := secretOf(ctx, central(), live(team))
					if err != nil {
						return err
					}
					if time.Since(refreshOf(t, secret)) > time.Second {
						return fmt.Errorf("that of %s is due", team.Namespace.Name)
					}
				}
				return nil
			})
			t.Logf("%d requests in %v, well %v after the issuer's return", tried, lasted.Round(time.Second), time.Since(back).Round(time.Millisecond))
		})
	}
}

// attempts is how often the sidecar of placement central has asked for a token and
// got an answer, or none in time.
func attempts(t *testing.T) int {
	t.Helper()
	count, err := central().Compute.Sidecar.Metric(t.Context(), "bulkhead_sidecar_exchange_seconds_count")
	if err != nil {
		t.Fatal(err)
	}
	return int(count)
}

// asksOf are the requests of one cluster.
func asksOf(t *testing.T, admin *actors.ClusterAdmin, since time.Time) []cluster.Ask {
	t.Helper()
	keyID, err := admin.Compute.AccountKeyID()
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(stage.Env.Storage.Front.Asks(since), func(ask cluster.Ask) bool { return ask.KeyID != keyID })
}

// spoil spoils the requests of one cluster.
func spoil(t *testing.T, admin *actors.ClusterAdmin, fault cluster.Fault) {
	t.Helper()
	keyID, err := admin.Compute.AccountKeyID()
	if err != nil {
		t.Fatal(err)
	}
	stage.Env.Storage.Front.Behave(func(ask cluster.Ask) cluster.Fault {
		if ask.KeyID == keyID {
			return fault
		}
		return nil
	})
}

// What concerns one namespace alone is no outage: the others' tokens are
// replaced, and the one is asked for ever more rarely.
func TestAWrongAnswerForOneNamespaceKeepsItsTokenAndHurtsNoOther(t *testing.T) {
	stranger := newTeam(t, central(), "stranger")
	other := newTeam(t, central(), "bystander")
	for _, c := range []struct {
		name  string
		fault cluster.Fault
		event string
	}{
		{name: "a good token of another subject", fault: cluster.ForTenant(stranger.Tenant())},
		{name: "a denial by the policy", fault: cluster.Deny(exchange.InvalidScope), event: "TokenDenied"},
	} {
		t.Run(c.name, func(t *testing.T) {
			team := newTeam(t, central(), "wronged")
			waitForToken(t, team)
			waitForToken(t, other)
			before, err := team.TokenSecret(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			bystander, err := other.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			stage.Env.Storage.Front.Behave(func(ask cluster.Ask) cluster.Fault {
				if ask.Tenant == team.Tenant() {
					return c.fault
				}
				return nil
			})
			t.Cleanup(func() { stage.Env.Storage.Front.Behave(nil) })
			began := time.Now()
			mine := func() []cluster.Ask {
				var asks []cluster.Ask
				for _, ask := range stage.Env.Storage.Front.Asks(began) {
					if ask.Tenant == team.Tenant() {
						asks = append(asks, ask)
					}
				}
				return asks
			}
			const rare, most = 3 * time.Second, 8
			within(t, patience, "requests in vain ever more rarely, and another team's token replaced", func(ctx context.Context) error {
				token, err := other.Token(ctx)
				if err != nil || token == bystander {
					return errors.Join(err, errors.New("the bystander's token is the same"))
				}
				asks := mine()
				if n := len(asks); n < 2 || asks[n-1].When.Sub(asks[n-2].When) < rare {
					return fmt.Errorf("%d requests, the last two not %v apart", n, rare)
				}
				return nil
			})
			if n := len(mine()); n > most {
				t.Errorf("%d requests until they were %v apart, want at most %d", n, rare, most)
			}
			if after, err := team.TokenSecret(t.Context()); err != nil || after.ResourceVersion != before.ResourceVersion {
				t.Errorf("the Secret was changed, %v", err)
			}
			if c.event != "" {
				within(t, soon, "an event in the namespace", func(ctx context.Context) error {
					return hasEvent(ctx, team, c.event)
				})
			}
			stage.Env.Storage.Front.Behave(nil)
			within(t, soon, "a new token", func(ctx context.Context) error {
				if after, err := team.TokenSecret(ctx); err != nil || after.ResourceVersion == before.ResourceVersion {
					return errors.Join(err, errors.New("it is the old one"))
				}
				return holdsTokenOf(ctx, team, live(team))
			})
		})
	}
}

// hasEvent is nil if an event with that reason is about the team's namespace,
// where the team sees it.
func hasEvent(ctx context.Context, team *actors.Team, reason string) error {
	var events corev1.EventList
	if err := team.List(ctx, &events, client.InNamespace(team.Namespace.Name)); err != nil {
		return err
	}
	var reasons []string
	for _, e := range events.Items {
		if e.Reason == reason && e.InvolvedObject.Kind == "Namespace" && e.InvolvedObject.UID == team.Namespace.UID {
			return nil
		}
		reasons = append(reasons, e.Reason)
	}
	return fmt.Errorf("events: %s", strings.Join(reasons, ", "))
}

// The life that was granted counts, not the one that was to be expected.
func TestATokenOfAShorterLifeIsReplacedSooner(t *testing.T) {
	const life = tokenLife / 2
	team := newTeam(t, central(), "short")
	waitForToken(t, team)
	stage.Env.Storage.Front.Behave(func(ask cluster.Ask) cluster.Fault {
		if ask.Tenant == team.Tenant() {
			return cluster.Shorter(life)
		}
		return nil
	})
	t.Cleanup(func() { stage.Env.Storage.Front.Behave(nil) })
	writes := func() []write { return recorders[central()].of(live(team)) }
	// The first one is of full life, the third shows when the second was due.
	within(t, 2*patience, "three tokens", func(ctx context.Context) error {
		if n := len(writes()); n < 3 {
			return fmt.Errorf("%d tokens", n)
		}
		return holdsTokenOf(ctx, team, live(team))
	})
	seen := writes()
	if left := seen[1].expires.Sub(seen[1].seen); left > life+time.Second {
		t.Fatalf("the second token lives for %v: the test shows nothing", left)
	}
	if due := seen[1].refresh; due.After(seen[1].expires.Add(-life / 4)) {
		t.Errorf("a token of %v that ends at %v is due at %v", life, seen[1].expires, due)
	}
	if next := seen[2].seen; next.After(seen[1].expires) {
		t.Errorf("a token that ended at %v was replaced at %v", seen[1].expires, next)
	}
	if err := neverBack(seen); err != nil {
		t.Error(err)
	}
}
