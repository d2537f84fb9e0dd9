package sidecar

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/exchange"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// edit changes the live Secret behind the sidecar's back.
func (s *scene) edit(change func(*corev1.Secret)) {
	edited := s.live().DeepCopy()
	change(edited)
	s.store.version++
	edited.ResourceVersion = fmt.Sprint(s.store.version) //nolint:perfsprint // a version is a text
	s.store.secrets[refOf(edited)] = edited
}

func (s *scene) issuerIsDown() {
	s.issuer.answers(func(context.Context, tenancy.Tenant) (exchange.Token, error) {
		return exchange.Token{}, errors.New("connection refused")
	})
}

// A tenant that can edit its Secret does not decide when tokens are minted.
func TestE12_ATenantDoesNotSetTheSchedule(t *testing.T) {
	t.Run("by a refresh in the past", func(t *testing.T) {
		s := inTenants(t)
		for range 600 {
			s.edit(func(secret *corev1.Secret) {
				secret.Annotations[refreshAnnotation] = s.now().Add(-time.Second).Format(time.RFC3339)
			})
			s.must(a)
			s.pass(time.Second)
		}
		if got := s.issuer.count(); got > 12 {
			t.Errorf("%d tokens in ten minutes", got)
		}
	})
	t.Run("by a refresh that never comes", func(t *testing.T) {
		s := inTenants(t)
		s.edit(func(secret *corev1.Secret) { secret.Annotations[refreshAnnotation] = "2099-01-01T00:00:00Z" })
		s.pass(5 * time.Second)
		s.must(a)
		if got := s.issuer.count(); got != 2 {
			t.Errorf("%d tokens, want a second one", got)
		}
	})
	t.Run("by a token of its own making", func(t *testing.T) {
		s := inTenants(t)
		forged := grantOf{
			subject: s.live().Annotations[subjectAnnotation], id: "forged", keyID: "key-1",
			expires: s.now().Add(100 * time.Hour).Truncate(time.Second),
		}
		s.edit(func(secret *corev1.Secret) {
			secret.Data[tenancy.TokenKey] = []byte(forged.token().Raw)
			secret.Annotations[tokenIDAnnotation] = forged.id
			secret.Annotations[expiresAnnotation] = forged.expires.Format(time.RFC3339)
			secret.Annotations[refreshAnnotation] = forged.expires.Format(time.RFC3339)
		})
		s.add(volume("pv", "a", s.layout.TokenSecret("a")))
		s.minter.published.forget(s.layout.TokenSecret("a")) // a leader that has just started
		s.minter.accept = func(_ context.Context, token string) error {
			if token == forged.token().Raw {
				return grpcstatus.Error(codes.Unauthenticated, "bad signature")
			}
			return nil
		}
		s.namespace(uidOld, terminating(s))
		s.must(a)
		if got := s.retired(uidOld); got == nil || got.Annotations[tokenIDAnnotation] == forged.id {
			t.Error("a forged token was kept for the volumes that are left")
		}
	})
}

// Whatever happens to a Secret while no token can be had, what is valid stays.
func TestNothingValidIsRemovedBeforeItsSuccessorIsThere(t *testing.T) {
	now := metav1.Now()
	for name, c := range map[string]struct {
		scene  func(*testing.T) *scene
		change func(*corev1.Secret)
	}{
		"its origin was edited":           {newLive, func(s *corev1.Secret) { s.Annotations[tenancy.OriginUID] = uidNew }},
		"its annotations were taken away": {newLive, func(s *corev1.Secret) { s.Annotations = nil }},
		"it is of another type":           {newLive, func(s *corev1.Secret) { s.Type = corev1.SecretTypeOpaque }},
		"its tenant deleted it":           {inTenants, func(s *corev1.Secret) { s.DeletionTimestamp = &now }},
	} {
		t.Run(name, func(t *testing.T) {
			s := c.scene(t)
			s.pass(time.Minute)
			s.edit(c.change)
			s.issuerIsDown()
			_, _ = s.reconcile(t.Context(), a)
			if s.live() == nil || len(s.live().Data[tenancy.TokenKey]) == 0 {
				t.Fatal("a valid token was removed")
			}
			s.issuer.answers(nil)
			s.minter.gate = newGate(s.now, func(key, time.Duration) {})
			s.must(a)
			if r, ok := recordOf(s.live()); !ok || r.tenant.UID != uidOld || !s.live().DeletionTimestamp.IsZero() {
				t.Errorf("it was not put right: %+v", s.live().ObjectMeta)
			}
		})
	}
}

// newLive is a scene in placement `central`.
func newLive(t *testing.T) *scene {
	t.Helper()
	s := newScene(t)
	s.namespace(uidOld, nil)
	s.must(a)
	return s
}

func TestASecretOfSomebodyElseIsNotRemoved(t *testing.T) {
	s := newScene(t)
	other := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "tokens", Name: "px-nobody"}, Type: corev1.SecretTypeOpaque}
	s.store.secrets[refOf(other)] = other
	s.must(key{ofNamespace, "nobody"})
	if s.secret(refOf(other)) == nil {
		t.Error("removed")
	}
}

func TestASecretThatIsUsedIsMadeAgainThoughItsNamespaceIsNotSelected(t *testing.T) {
	s := newLive(t)
	s.selected.exempt = []string{"a"}
	s.add(volume("pv", "a", s.layout.TokenSecret("a")))
	delete(s.store.secrets, s.layout.TokenSecret("a"))
	s.pass(5 * time.Second)
	s.must(a)
	if s.live() == nil {
		t.Error("not made again")
	}
}

func TestAContentIsBelievedOnlyAboutItsOwnNamespace(t *testing.T) {
	s := newLive(t)
	handle := "snapshot-handle"
	forged := from(snapshotContent("pre", "b", tenancy.SecretRef{}), uidOld) // says it is a's
	forged.Spec.Source.SnapshotHandle = &handle
	s.add(forged)
	s.must(key{ofContent, "pre"})
	s.must(key{ofRetired, uidOld})
	if s.secret(s.layout.ContentSecret("pre")) != nil || s.retired(uidOld) != nil {
		t.Error("a content of one namespace got a token of another")
	}
}

// A storage cluster that refuses everybody's token is a failure of all, though
// each refusal looks like one tenant's.
func TestARefusalOfEverybodyIsNoHotLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1_000)
		f.minter.accept = func(context.Context, string) error { return grpcstatus.Error(codes.Unauthenticated, "unknown issuer") }
		f.run()
		defer f.stop()
		time.Sleep(15 * time.Minute)
		synctest.Wait()
		if got := f.issuer.count(); got > 100 {
			t.Errorf("%d requests in a quarter of an hour", got)
		}
		if f.minter.gate.isOpen() {
			t.Error("the sidecar believes that tokens can be had")
		}
	})
}

// An API server that takes no writes for a while costs no tokens.
func TestATokenThatWasNotWrittenIsKeptForTheNextAttempt(t *testing.T) {
	s := newScene(t)
	s.namespace(uidNew, nil)
	s.tokens = failingStore{s.store}
	for range 10 {
		if _, err := s.reconcile(t.Context(), a); err == nil {
			t.Fatal("no error")
		}
		s.pass(time.Minute / 2)
	}
	s.tokens = s.store
	s.must(a)
	if s.live() == nil || s.issuer.count() != 1 {
		t.Errorf("the token is there: %v, after %d exchanges", s.live() != nil, s.issuer.count())
	}
}

type failingStore struct{ *memoryStore }

func (failingStore) put(context.Context, *corev1.Secret, *corev1.Secret) error {
	return errors.New("connection refused")
}
