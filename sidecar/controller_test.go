package sidecar

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	corev1lister "k8s.io/client-go/listers/core/v1"
	metadatafake "k8s.io/client-go/metadata/fake"
	"k8s.io/client-go/tools/cache"

	"github.com/bulkhead-dev/bulkhead/exchange"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

const (
	uidOld = "0b1d3a52-5a0c-4f3e-9d2f-0c6f8a1b2c3d"
	uidNew = "7e6f5d4c-3b2a-4190-8877-665544332211"
)

// fakeIssuer grants tokens of one hour and counts them.
type fakeIssuer struct {
	granted int
	broken  error
	now     func() time.Time
}

func (i *fakeIssuer) Exchange(_ context.Context, t tenancy.Tenant) (exchange.Token, error) {
	if i.broken != nil {
		return exchange.Token{}, i.broken
	}
	i.granted++
	return grant(t.Subject("k14c1"), i.now(), time.Hour), nil
}

func grant(subject string, now time.Time, life time.Duration) exchange.Token {
	claims := jwt.RegisteredClaims{Subject: subject}
	if life != 0 {
		claims.ExpiresAt = jwt.NewNumericDate(now.Add(life))
	}
	raw, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte("a key of this test"))
	if err != nil {
		panic(err)
	}
	return exchange.Token{Raw: raw, Life: time.Hour}
}

// scene is a controller on fake clients, whose caches a test fills by hand.
type scene struct {
	*controller

	t          *testing.T
	clock      time.Time
	issuer     *fakeIssuer
	client     *fake.Clientset
	metadata   *metadatafake.FakeMetadataClient
	namespaces cache.Indexer
	cached     cache.Indexer
}

func newScene(t *testing.T, volumes ...runtime.Object) *scene {
	t.Helper()
	s := &scene{t: t, clock: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	now := func() time.Time { return s.clock }
	s.issuer = &fakeIssuer{now: now}
	s.client = fake.NewClientset()
	scheme := metadatafake.NewTestScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	s.metadata = metadatafake.NewSimpleMetadataClient(scheme, volumes...)
	indexers := cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}
	s.namespaces = cache.NewIndexer(cache.MetaNamespaceKeyFunc, indexers)
	s.cached = cache.NewIndexer(cache.MetaNamespaceKeyFunc, indexers)
	s.controller = &controller{
		layout: tenancy.Layout{TokenNamespace: "tokens", Template: "px-${namespace}"},
		issuer: s.issuer, now: now, metrics: newTokenMetrics(prometheus.NewRegistry()),
		accept:     func(context.Context, string) error { return nil },
		secrets:    s.client.CoreV1().Secrets("tokens"),
		references: referenceStore{s.metadata},
		namespaces: corev1lister.NewNamespaceLister(s.namespaces),
		stored:     corev1lister.NewSecretLister(s.cached).Secrets("tokens"),
		queue:      newQueue(),
	}
	return s
}

func (s *scene) namespace(uid string, change func(*corev1.Namespace)) {
	s.t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "a", UID: types.UID(uid)}}
	if change != nil {
		change(ns)
	}
	if err := s.namespaces.Update(ns); err != nil {
		s.t.Fatal(err)
	}
}

// sync makes the cache of Secrets show what is stored.
func (s *scene) sync() map[string]*corev1.Secret {
	s.t.Helper()
	list, err := s.client.CoreV1().Secrets("tokens").List(s.t.Context(), metav1.ListOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	var objects []any
	byName := map[string]*corev1.Secret{}
	for i := range list.Items {
		objects = append(objects, &list.Items[i])
		byName[list.Items[i].Name] = &list.Items[i]
	}
	if err := s.cached.Replace(objects, ""); err != nil {
		s.t.Fatal(err)
	}
	return byName
}

func (s *scene) must(k key) time.Duration {
	s.t.Helper()
	again, err := s.reconcile(s.t.Context(), k)
	if err != nil {
		s.t.Fatal(err)
	}
	return again
}

var live = key{namespace: "a"}

func TestANamespaceGetsATokenAndKeepsItUntilTheRefresh(t *testing.T) {
	s := newScene(t)
	s.namespace(uidNew, nil)
	again := s.must(live)
	if again < 36*time.Minute || again > 42*time.Minute {
		t.Errorf("refresh in %v, want 60 to 70 %% of an hour", again)
	}
	secret := s.sync()["px-a"]
	if secret == nil || len(secret.Data[tenancy.TokenKey]) == 0 || secret.Type != secretType {
		t.Fatalf("token Secret is %+v", secret)
	}
	for key, want := range map[string]string{
		namespaceAnnotation: "a", uidAnnotation: uidNew, subjectAnnotation: "a." + uidNew + "@k14c1",
		expiresAnnotation: s.clock.Add(time.Hour).Format(time.RFC3339),
	} {
		if got := secret.Annotations[key]; got != want {
			t.Errorf("annotation %s is %q, want %q", key, got, want)
		}
	}
	if secret.Labels[noBackupLabel] != "true" {
		t.Error("backup tools are not told to leave the Secret out")
	}
	s.clock = s.clock.Add(again - time.Second)
	s.must(live)
	if s.issuer.granted != 1 {
		t.Errorf("%d tokens before the refresh was due, want 1", s.issuer.granted)
	}
	s.clock = s.clock.Add(2 * time.Second)
	s.must(live)
	if s.issuer.granted != 2 {
		t.Errorf("%d tokens once the refresh was due, want 2", s.issuer.granted)
	}
}

func TestATokenIsReplacedAtOnceWhenItNoLongerFits(t *testing.T) {
	for name, change := range map[string]func(*scene, *corev1.Secret){
		"the tenant label changed": func(s *scene, _ *corev1.Secret) {
			s.namespace(uidNew, func(ns *corev1.Namespace) { ns.Labels = map[string]string{tenancy.TenantLabel: "t"} })
		},
		"the Secret was deleted": func(s *scene, secret *corev1.Secret) {
			_ = s.client.Tracker().Delete(corev1.SchemeGroupVersion.WithResource("secrets"), "tokens", secret.Name)
		},
		"the token was edited out": func(s *scene, secret *corev1.Secret) { secret.Data = nil; s.store(secret) },
		"its annotations were edited": func(s *scene, secret *corev1.Secret) {
			secret.Annotations[refreshAnnotation] = "never"
			s.store(secret)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.namespace(uidNew, nil)
			s.must(live)
			change(s, s.sync()["px-a"])
			s.sync()
			s.must(live)
			if s.issuer.granted != 2 {
				t.Errorf("%d tokens, want 2", s.issuer.granted)
			}
		})
	}
}

func (s *scene) store(secret *corev1.Secret) {
	if _, err := s.client.CoreV1().Secrets("tokens").Update(s.t.Context(), secret, metav1.UpdateOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

func TestAFailureLeavesTheOldTokenInPlace(t *testing.T) {
	for name, breakIt := range map[string]func(*scene){
		"the issuer is down":          func(s *scene) { s.issuer.broken = errors.New("connection refused") },
		"the storage cluster says no": func(s *scene) { s.accept = func(context.Context, string) error { return errors.New("denied") } },
		"the token is somebody else's": func(s *scene) {
			s.controller.issuer = wrongIssuer{grant("b."+uidNew+"@k14c1", s.clock.Add(time.Hour), time.Hour)}
		},
		"the token never expires": func(s *scene) { s.controller.issuer = wrongIssuer{grant("a."+uidNew+"@k14c1", s.clock, 0)} },
		"the token lives for a year": func(s *scene) {
			s.controller.issuer = wrongIssuer{grant("a."+uidNew+"@k14c1", s.clock, 365*24*time.Hour)}
		},
		"the token has run out already": func(s *scene) {
			s.controller.issuer = wrongIssuer{grant("a."+uidNew+"@k14c1", s.clock.Add(-time.Hour), time.Minute)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.namespace(uidNew, nil)
			again := s.must(live)
			before := string(s.sync()["px-a"].Data[tenancy.TokenKey])
			s.clock = s.clock.Add(again + time.Second)
			breakIt(s)
			_, err := s.reconcile(t.Context(), live)
			if err == nil {
				t.Fatal("no error")
			}
			if strings.Contains(err.Error(), before) || strings.Contains(err.Error(), "eyJ") {
				t.Errorf("the error holds a token: %v", err)
			}
			if after := string(s.sync()["px-a"].Data[tenancy.TokenKey]); after != before {
				t.Error("the old token was replaced")
			}
		})
	}
}

type wrongIssuer struct{ token exchange.Token }

func (i wrongIssuer) Exchange(context.Context, tenancy.Tenant) (exchange.Token, error) {
	return i.token, nil
}

func pv(name, secret string) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolume"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{
			tenancy.DeletionSecretName: secret, tenancy.DeletionSecretNamespace: "tokens", "other": secret,
		}},
	}
}

// E14: the volumes of a namespace that is gone keep their own token, and the
// namespace that takes its name never meets it.
func TestE14_ANamespaceMadeAgain(t *testing.T) {
	for name, between := range map[string]func(*scene){
		"seen while it goes": func(s *scene) {
			now := metav1.NewTime(s.clock)
			s.namespace(uidOld, func(ns *corev1.Namespace) { ns.DeletionTimestamp = &now })
			s.must(live)
		},
		"seen while there was none": func(s *scene) { _ = s.namespaces.Replace(nil, ""); s.must(live) },
		"seen only when made again": func(*scene) {},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, pv("old-volume", "px-a"), pv("other-volume", "px-b"))
			s.namespace(uidOld, nil)
			s.must(live)
			oldToken := string(s.sync()["px-a"].Data[tenancy.TokenKey])
			between(s)
			s.sync()
			s.namespace(uidNew, nil)
			s.must(live)

			secrets := s.sync()
			retired := secrets["retired."+uidOld]
			if retired == nil || string(retired.Data[tenancy.TokenKey]) != oldToken || retired.Labels[stateLabel] != stateRetired {
				t.Fatalf("retired Secret is %+v", retired)
			}
			if plain := secrets["px-a"]; plain == nil || recordOf(plain).tenant.UID != uidNew || string(plain.Data[tenancy.TokenKey]) == oldToken {
				t.Errorf("the plain Secret is not the new namespace's")
			}
			for volume, want := range map[string]string{"old-volume": "retired." + uidOld, "other-volume": "px-b"} {
				got, err := s.metadata.Resource(referrers[0].resource).Get(t.Context(), volume, metav1.GetOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if got.Annotations[tenancy.DeletionSecretName] != want {
					t.Errorf("%s is deleted with %q, want %q", volume, got.Annotations[tenancy.DeletionSecretName], want)
				}
			}
		})
	}
}

func TestARetiredTokenLivesAsLongAsSomethingNeedsIt(t *testing.T) {
	s := newScene(t, pv("old-volume", "px-a"))
	s.namespace(uidOld, nil)
	s.must(live)
	s.sync()
	_ = s.namespaces.Replace(nil, "")
	s.must(live)
	retired := key{namespace: "a", retiredUID: uidOld}
	for range 3 {
		s.sync()
		s.clock = s.clock.Add(50 * time.Minute)
		if again := s.must(retired); again <= 0 || again > retiredInterval {
			t.Fatalf("looked at again in %v", again)
		}
	}
	if s.issuer.granted != 4 {
		t.Errorf("%d tokens, want the first and three refreshes", s.issuer.granted)
	}
	if err := s.metadata.Tracker().Delete(referrers[0].resource, "", "old-volume"); err != nil {
		t.Fatal(err)
	}
	s.sync()
	s.must(retired)
	if secrets := s.sync(); len(secrets) != 0 {
		t.Errorf("Secrets left: %d", len(secrets))
	}
}

func TestASecretOfAnotherTypeUnderOurNameIsReplaced(t *testing.T) {
	s := newScene(t)
	s.namespace(uidNew, nil)
	foreign := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "px-a", Namespace: "tokens"}, Type: corev1.SecretTypeOpaque}
	if err := s.client.Tracker().Add(foreign); err != nil {
		t.Fatal(err)
	}
	s.sync()
	s.must(live)
	if secret := s.sync()["px-a"]; secret == nil || secret.Type != secretType {
		t.Errorf("Secret is %+v", secret)
	}
}

func TestTokensOfABurstAreNotRefreshedTogether(t *testing.T) {
	now, seen := time.Now(), map[string]bool{}
	for range 100 {
		at := refreshAt(now, time.Hour).Sub(now)
		if at < 36*time.Minute || at >= 42*time.Minute {
			t.Fatalf("refresh after %v, want 60 to 70 %% of an hour", at)
		}
		seen[fmt.Sprint(at.Round(time.Second))] = true
	}
	if len(seen) < 50 {
		t.Errorf("only %d different moments of 100", len(seen))
	}
}
