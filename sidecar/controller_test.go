package sidecar

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/bulkhead-dev/bulkhead/exchange"
	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/leak"
)

func TestANamespaceGetsATokenAndKeepsItUntilTheRefresh(t *testing.T) {
	s := newScene(t)
	s.namespace(uidNew, nil)
	again := s.must(a)
	if again < 18*time.Minute || again > 42*time.Minute {
		t.Errorf("first refresh in %v, want 30 to 70 %% of an hour", again)
	}
	secret := s.live()
	if secret == nil || len(secret.Data[tenancy.TokenKey]) == 0 || secret.Type != secretType {
		t.Fatalf("token Secret is %+v", secret)
	}
	for key, want := range map[string]string{
		tenancy.OriginNamespace: "a", tenancy.OriginUID: uidNew, subjectAnnotation: "a." + uidNew + "@k14c1", tokenIDAnnotation: "token-1",
		expiresAnnotation: s.now().Add(time.Hour).Format(time.RFC3339), keyIDAnnotation: "key-1", noBackupAnnotation: "true",
	} {
		if got := secret.Annotations[key]; got != want {
			t.Errorf("annotation %s is %q, want %q", key, got, want)
		}
	}
	if secret.Labels[noBackupLabel] != "true" {
		t.Error("backup tools are not told to leave the Secret out")
	}
	if owners := secret.OwnerReferences; len(owners) != 1 || string(owners[0].UID) != uidNew || owners[0].Kind != "Namespace" {
		t.Errorf("owners are %+v: the garbage collector would not remove the Secret in our absence", owners)
	}
	s.pass(again - time.Second)
	s.must(a)
	if got := s.issuer.count(); got != 1 {
		t.Errorf("%d tokens before the refresh was due, want 1", got)
	}
	s.pass(2 * time.Second)
	again = s.must(a)
	if got := s.issuer.count(); got != 2 {
		t.Errorf("%d tokens once the refresh was due, want 2", got)
	}
	if again < 36*time.Minute-2*time.Second || again > 42*time.Minute {
		t.Errorf("second refresh in %v, want 60 to 70 %% of an hour", again)
	}
}

func TestATokenIsReplacedAtOnceWhenItNoLongerFits(t *testing.T) {
	edit := func(change func(*corev1.Secret)) func(*scene) {
		return func(s *scene) {
			edited := s.live().DeepCopy()
			change(edited)
			s.store.secrets[refOf(edited)] = edited
		}
	}
	for name, change := range map[string]func(*scene){
		"the tenant label changed": func(s *scene) {
			s.namespace(uidNew, func(ns *corev1.Namespace) { ns.Labels = map[string]string{tenancy.TenantLabel: "t"} })
		},
		"the Secret was deleted":      func(s *scene) { delete(s.store.secrets, s.layout.TokenSecret("a")) },
		"the token was edited out":    edit(func(s *corev1.Secret) { s.Data = nil }),
		"its annotations were edited": edit(func(s *corev1.Secret) { s.Annotations[refreshAnnotation] = "never" }),
		"another token was put in": edit(func(s *corev1.Secret) {
			s.Data[tenancy.TokenKey] = []byte(grantOf{subject: "b." + uidOld + "@k14c1", expires: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}.token().Raw)
		}),
		"it claims to be another tenant's": edit(func(s *corev1.Secret) { s.Annotations[tenancy.TenantLabel] = "t" }),
		"its key is not published any more": func(s *scene) {
			s.minter.inForce.keys = map[string]bool{"key-2": true}
			s.issuer.keyID = "key-2"
		},
		"the policy changed": func(s *scene) {
			s.issuer.policy = "p2"
			s.minter.inForce.current = "p2"
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.namespace(uidNew, nil)
			s.must(a)
			s.pass(10 * time.Second)
			change(s)
			s.must(a)
			if got := s.issuer.count(); got != 2 {
				t.Fatalf("%d tokens, want 2", got)
			}
			again := s.must(a)
			if got := s.issuer.count(); got != 2 || again <= 0 {
				t.Errorf("%d tokens once it fits again, next look in %v; want 2", got, again)
			}
		})
	}
}

func TestEditingASecretInALoopDoesNotUseUpTheIssuer(t *testing.T) {
	s := newScene(t)
	s.namespace(uidNew, nil)
	for range 600 { // ten minutes
		s.must(a)
		delete(s.store.secrets, s.layout.TokenSecret("a"))
		s.pass(time.Second)
	}
	if got := s.issuer.count(); got > 12 {
		t.Errorf("%d tokens in ten minutes, want a dozen at most", got)
	}
	s.pass(maxRetry)
	s.must(a)
	if s.live() == nil {
		t.Error("the Secret was not repaired in the end")
	}
}

func TestAFailureLeavesTheOldTokenInPlace(t *testing.T) {
	for name, breakIt := range map[string]func(*scene){
		"the issuer is down": func(s *scene) {
			s.issuer.answers(func(context.Context, tenancy.Tenant) (exchange.Token, error) {
				return exchange.Token{}, errors.New("connection refused")
			})
		},
		"the policy says no": func(s *scene) {
			s.issuer.answers(func(context.Context, tenancy.Tenant) (exchange.Token, error) {
				return exchange.Token{}, &exchange.Error{Status: 400, ErrorResponse: exchange.ErrorResponse{Code: exchange.InvalidScope}}
			})
		},
		"the storage cluster says no": func(s *scene) {
			s.minter.accept = func(context.Context, string) error { return grpcstatus.Error(codes.PermissionDenied, "denied") }
		},
		"the storage cluster does not answer": func(s *scene) {
			s.minter.accept = func(context.Context, string) error { return grpcstatus.Error(codes.Unavailable, "no connection") }
		},
		"the token is somebody else's":  grants(func(g *grantOf) { g.subject = "b." + uidNew + "@k14c1" }),
		"the token never expires":       grants(func(g *grantOf) { g.expires = time.Time{} }),
		"the token lives for a year":    grants(func(g *grantOf) { g.expires = g.expires.AddDate(1, 0, 0) }),
		"the token has run out already": grants(func(g *grantOf) { g.expires = g.expires.Add(-2 * time.Hour) }),
		"the token is garbage": func(s *scene) {
			s.issuer.answers(func(context.Context, tenancy.Tenant) (exchange.Token, error) {
				return exchange.Token{Raw: "eyJhbGciOiJFUzI1NiJ9.garbage", Life: time.Hour}, nil
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.namespace(uidNew, nil)
			s.pass(s.must(a) + time.Second)
			before := string(s.live().Data[tenancy.TokenKey])
			breakIt(s)
			_, err := s.reconcile(t.Context(), a)
			if err == nil {
				t.Fatal("no error")
			}
			if strings.Contains(err.Error(), before) || leak.Index(err.Error()) >= 0 {
				t.Errorf("the error holds a token: %v", err)
			}
			if after := string(s.live().Data[tenancy.TokenKey]); after != before {
				t.Error("the old token was replaced")
			}
		})
	}
}

// grants makes the issuer grant tokens with something wrong in them.
func grants(change func(*grantOf)) func(*scene) {
	return func(s *scene) {
		s.issuer.answers(func(_ context.Context, t tenancy.Tenant) (exchange.Token, error) {
			g := grantOf{subject: t.Subject("k14c1"), id: "x", keyID: "key-1", expires: s.now().Add(time.Hour), life: time.Hour}
			change(&g)
			return g.token(), nil
		})
	}
}

func TestAShorterLifeThanAskedForSetsTheSchedule(t *testing.T) {
	s := newScene(t)
	grants(func(g *grantOf) { g.life, g.expires = time.Minute, s.now().Add(time.Minute) })(s)
	s.namespace(uidNew, nil)
	if again := s.must(a); again < 18*time.Second || again > 42*time.Second {
		t.Errorf("refresh of a token of one minute in %v", again)
	}
}

// A namespace that the policy denies backs off alone; others get their tokens.
func TestADenialIsAnEventAndConcernsOneNamespace(t *testing.T) {
	s := newScene(t)
	s.namespace(uidNew, nil)
	s.add(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "b", UID: uidOld}})
	s.issuer.answers(func(_ context.Context, tenant tenancy.Tenant) (exchange.Token, error) {
		if tenant.Namespace == "a" {
			return exchange.Token{}, &exchange.Error{Status: 400, ErrorResponse: exchange.ErrorResponse{Code: exchange.InvalidScope, Description: "not allowed"}}
		}
		return grantOf{subject: tenant.Subject("k14c1"), id: "x", expires: s.now().Add(time.Hour), life: time.Hour}.token(), nil
	})
	_, err := s.reconcile(t.Context(), a)
	if _, denied := asDenial(err); !denied {
		t.Fatalf("got %v, want a denial", err)
	}
	s.report(t.Context(), a, err, time.Second)
	select {
	case event := <-s.recorder.Events:
		if !strings.Contains(event, "TokenDenied") || !strings.Contains(event, "not allowed") {
			t.Errorf("event is %q", event)
		}
	default:
		t.Error("no event")
	}
	s.must(key{ofNamespace, "b"})
	if s.secret(s.layout.TokenSecret("b")) == nil {
		t.Error("another namespace got no token")
	}
}

func TestSelectionLeavesNamespacesOut(t *testing.T) {
	selector, err := labels.Parse("storage=yes")
	if err != nil {
		t.Fatal(err)
	}
	asks := false
	for name, c := range map[string]struct {
		selected selection
		labels   map[string]string
		want     bool
	}{
		"all":                   {selection{selector: everything}, nil, true},
		"exempt":                {selection{selector: everything, exempt: []string{"a"}}, nil, false},
		"selected":              {selection{selector: selector}, map[string]string{"storage": "yes"}, true},
		"not selected":          {selection{selector: selector}, nil, false},
		"nobody asks":           {selection{selector: everything, asked: func(string) bool { return asks }}, nil, false},
		"somebody asks":         {selection{selector: everything, asked: func(ns string) bool { return ns == "a" }}, nil, true},
		"selected but not asks": {selection{selector: selector, asked: func(string) bool { return false }}, map[string]string{"storage": "yes"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.selected = c.selected
			s.namespace(uidNew, func(ns *corev1.Namespace) { ns.Labels = c.labels })
			s.must(a)
			if got := s.live() != nil; got != c.want {
				t.Errorf("token is there: %v, want %v", got, c.want)
			}
		})
	}
}

func TestANamespaceThatIsNotSelectedAnyMoreKeepsWhatItsVolumesNeed(t *testing.T) {
	s := newScene(t)
	s.namespace(uidNew, nil)
	s.must(a)
	s.selected.exempt = []string{"a"}
	s.add(volume("pv", "a", s.layout.TokenSecret("a")))
	s.pass(2 * time.Hour)
	s.must(a)
	if s.issuer.count() != 2 {
		t.Errorf("%d tokens, want 2: a volume uses it", s.issuer.count())
	}
	if err := s.volumes.Delete(volume("pv", "a", s.layout.TokenSecret("a"))); err != nil {
		t.Fatal(err)
	}
	if again := s.must(a); s.live() == nil || again <= 0 {
		t.Error("a valid token was removed")
	}
	s.pass(2 * time.Hour)
	s.must(a)
	if s.live() != nil || s.issuer.count() != 2 {
		t.Error("the token that nothing uses was not removed once it had run out")
	}
}

func TestAPausedLeaderWritesNothingOverANewerToken(t *testing.T) {
	s := newScene(t)
	s.namespace(uidNew, nil)
	s.pass(s.must(a) + time.Second)
	stale := s.live()
	// It pauses between asking and writing, and another leader is faster.
	s.minter.accept = func(ctx context.Context, _ string) error {
		newer := stale.DeepCopy()
		newer.Annotations[tokenIDAnnotation] = "newer"
		return s.store.put(ctx, stale, newer)
	}
	if _, err := s.reconcile(t.Context(), a); err == nil {
		t.Error("no error")
	}
	if got := s.live().Annotations[tokenIDAnnotation]; got != "newer" {
		t.Errorf("the Secret holds %s", got)
	}
}
