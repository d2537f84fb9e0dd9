package sidecar

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/exchange"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

var longAgo = metav1.NewTime(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC))

func volume(name, namespace string, secret tenancy.SecretRef) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: longAgo, Annotations: map[string]string{
			tenancy.DeletionSecretName: secret.Name, tenancy.DeletionSecretNamespace: secret.Namespace,
			tenancy.ModifySecretName: secret.Name, tenancy.ModifySecretNamespace: secret.Namespace,
		}},
		Spec: corev1.PersistentVolumeSpec{
			ClaimRef:               &corev1.ObjectReference{Namespace: namespace},
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{}},
		},
	}
}

func snapshotContent(name, namespace string, secret tenancy.SecretRef) *snapshotv1.VolumeSnapshotContent {
	return &snapshotv1.VolumeSnapshotContent{
		ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: longAgo, UID: "content-uid", Annotations: map[string]string{
			tenancy.SnapshotDeletionSecretName: secret.Name, tenancy.SnapshotDeletionSecretNamespace: secret.Namespace,
		}},
		Spec: snapshotv1.VolumeSnapshotContentSpec{
			Driver: tenancy.CSIDriver, VolumeSnapshotRef: corev1.ObjectReference{Namespace: namespace},
		},
	}
}

// from writes on an object whose it is, as the webhook does.
func from[T metav1.Object](object T, uid string) T {
	annotations := object.GetAnnotations()
	maps.Copy(annotations, tenancy.Tenant{Namespace: "a", UID: uid}.Origin())
	object.SetAnnotations(annotations)
	return object
}

// names is the Secret that an object is deleted with, and modified with.
func (s *scene) names(name string) []tenancy.SecretRef {
	s.t.Helper()
	for _, indexer := range []interface {
		GetByKey(string) (any, bool, error)
	}{s.volumes, s.contents} {
		object, found, err := indexer.GetByKey(name)
		if err != nil || !found {
			continue
		}
		r, _ := referrerOf(object)
		var refs []tenancy.SecretRef
		for _, p := range r.pairs {
			annotations := r.object.GetAnnotations()
			refs = append(refs, tenancy.SecretRef{Namespace: annotations[p.NamespaceKey], Name: annotations[p.NameKey]})
		}
		return refs
	}
	s.t.Fatalf("there is no %s", name)
	return nil
}

func (s *scene) wantNamed(name string, want tenancy.SecretRef) {
	s.t.Helper()
	for _, ref := range s.names(name) {
		if ref != want {
			s.t.Errorf("%s names %s, want %s", name, ref, want)
		}
	}
}

// E14: the volumes of a namespace that is gone keep their own token, and the
// namespace that takes its name never meets it.
func TestE14_ANamespaceMadeAgain(t *testing.T) {
	for name, between := range map[string]func(*scene){
		"while it was terminating": func(s *scene) {
			s.namespace(uidOld, terminating(s))
			s.must(a)
			s.namespaceGone()
			s.must(a)
		},
		"after it was gone":         func(s *scene) { s.namespaceGone(); s.must(a) },
		"while the sidecar was off": func(*scene) {},
	} {
		for _, known := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				s := newScene(t)
				s.clock.SetTime(longAgo.Add(time.Minute))
				plain := s.layout.TokenSecret("a")
				pv, snapshot := volume("pv", "a", plain), snapshotContent("snap", "a", plain)
				if known {
					pv, snapshot = from(pv, uidOld), from(snapshot, uidOld)
				}
				s.add(pv)
				s.add(snapshot)
				other := volume("other", "b", s.layout.TokenSecret("b"))
				s.add(other)
				s.namespace(uidOld, func(ns *corev1.Namespace) { ns.CreationTimestamp = longAgo })
				s.must(a)
				between(s)
				s.pass(time.Minute)
				s.namespace(uidNew, nil)
				s.must(a)
				retiredRef := s.layout.RetiredSecret(uidOld)
				s.wantNamed("pv", retiredRef)
				s.wantNamed("snap", retiredRef)
				s.wantNamed("other", s.layout.TokenSecret("b"))
				if got := subjectOf(s.live()); got != "a."+uidNew {
					t.Errorf("the plain name holds the token of %q", got)
				}
				if got := subjectOf(s.retired(uidOld)); got != "a."+uidOld {
					t.Errorf("the retired name holds the token of %q", got)
				}
				// As long as something refers to it, it stays fresh.
				s.pass(50 * time.Minute)
				s.must(key{ofRetired, uidOld})
				if r, _ := recordOf(s.retired(uidOld)); !s.now().Before(r.refresh) {
					t.Error("the retired token was not refreshed")
				}
				if err := s.volumes.Delete(pv); err != nil {
					t.Fatal(err)
				}
				if err := s.contents.Delete(snapshot); err != nil {
					t.Fatal(err)
				}
				s.pass(retiredGrace)
				s.must(key{ofRetired, uidOld})
				if s.retired(uidOld) != nil {
					t.Error("the retired token was not removed, though nothing refers to it")
				}
			})
		}
	}
}

// The garbage collector removed the token while the sidecar was away: what the
// webhook wrote on the volumes says for whom to mint another.
func TestE14_ATokenThatIsGoneIsMintedForWhatWasLeftBehind(t *testing.T) {
	s := newScene(t)
	plain := s.layout.TokenSecret("a")
	s.add(from(volume("pv", "a", plain), uidOld))
	s.add(from(volume("empty", "a", tenancy.SecretRef{}), uidOld))
	s.namespace(uidNew, nil)
	s.add(from(volume("of-today", "a", plain), uidNew))
	s.must(a)
	s.must(key{ofRetired, uidOld})
	s.must(key{ofRetired, uidOld}) // as the new Secret brings it back
	for _, name := range []string{"pv", "empty"} {
		s.wantNamed(name, s.layout.RetiredSecret(uidOld))
	}
	s.wantNamed("of-today", plain)
	if got := subjectOf(s.retired(uidOld)); got != "a."+uidOld {
		t.Errorf("the retired name holds the token of %q", got)
	}
	s.must(key{ofRetired, uidNew})
	if s.retired(uidNew) != nil {
		t.Error("the token of a namespace that lives was retired")
	}
}

func TestAVolumeThatComesLateIsPointedToTheRetiredToken(t *testing.T) {
	for _, known := range []bool{true, false} {
		s := newScene(t)
		s.namespace(uidOld, nil)
		s.must(a)
		s.namespace(uidOld, terminating(s))
		s.must(a)
		s.namespaceGone()
		late := volume("late", "a", s.layout.TokenSecret("a"))
		if known {
			late = from(late, uidOld)
		}
		s.add(late)
		s.must(key{ofRetired, uidOld})
		s.wantNamed("late", s.layout.RetiredSecret(uidOld))
	}
}

func TestARetiredTokenIsNotRemovedWhileSnapshotsAreUnknown(t *testing.T) {
	s := newScene(t)
	s.namespace(uidOld, nil)
	s.must(a)
	s.namespaceGone()
	s.must(a)
	s.pass(2 * retiredGrace)
	s.references.contentsSynced.Store(false)
	s.must(key{ofRetired, uidOld})
	if s.retired(uidOld) == nil {
		t.Fatal("removed")
	}
	s.references.contentsSynced.Store(true)
	s.must(key{ofRetired, uidOld})
	if s.retired(uidOld) != nil {
		t.Error("not removed")
	}
}

func TestPreProvisionedContentsHaveASecretOfTheirName(t *testing.T) {
	s := newScene(t)
	s.namespace(uidNew, nil)
	handle := "snapshot-handle"
	pre := snapshotContent("pre", "a", s.layout.TokenSecret("a"))
	pre.Spec.Source.SnapshotHandle = &handle
	s.add(pre)
	s.add(snapshotContent("dynamic", "a", s.layout.TokenSecret("a")))
	for _, name := range []string{"pre", "dynamic"} {
		s.must(key{ofContent, name})
	}
	secret := s.secret(s.layout.ContentSecret("pre"))
	if subjectOf(secret) != "a."+uidNew || len(secret.OwnerReferences) != 1 || secret.OwnerReferences[0].UID != "content-uid" {
		t.Errorf("the Secret of the content is %+v", secret)
	}
	if s.secret(s.layout.ContentSecret("dynamic")) != nil {
		t.Error("a dynamic content got a Secret")
	}
	if err := s.contents.Delete(pre); err != nil {
		t.Fatal(err)
	}
	s.must(key{ofContent, "pre"})
	if s.secret(s.layout.ContentSecret("pre")) != nil {
		t.Error("the Secret outlives its content")
	}
}

// inTenants is a scene in placement `tenant`.
func inTenants(t *testing.T) *scene {
	t.Helper()
	s := newScene(t)
	s.layout = tenancy.Layout{Placement: tenancy.InTenant, TokenNamespace: "tokens", Template: "token"}
	s.namespace(uidOld, nil)
	s.must(a)
	return s
}

func TestInPlacementTenantTheTokenMovesBeforeTheNamespaceGoes(t *testing.T) {
	s := inTenants(t)
	if got := s.live(); got.Namespace != "a" || !hasFinalizer(got) || len(got.OwnerReferences) != 0 {
		t.Fatalf("the token Secret is %+v", got.ObjectMeta)
	}
	s.add(from(volume("pv", "a", s.layout.TokenSecret("a")), uidOld))
	s.namespace(uidOld, terminating(s))
	s.must(a)
	if s.live() != nil {
		t.Error("the namespace is kept from going")
	}
	s.wantNamed("pv", s.layout.RetiredSecret(uidOld))
	if got := s.retired(uidOld); subjectOf(got) != "a."+uidOld || s.issuer.count() != 1 {
		t.Errorf("the retired token is of %q, after %d exchanges; want the same token", subjectOf(got), s.issuer.count())
	}
}

// A tenant may write what it likes into the Secret in its namespace.
func TestE12_ATenantCannotRetireForAnother(t *testing.T) {
	s := inTenants(t)
	forged := s.live().DeepCopy()
	forged.Annotations[tenancy.OriginNamespace], forged.Annotations[tenancy.OriginUID] = "b", uidNew
	s.store.secrets[refOf(forged)] = forged
	s.add(from(volume("pv", "a", s.layout.TokenSecret("a")), uidOld))
	s.namespace(uidOld, terminating(s))
	s.must(a)
	if s.retired(uidNew) != nil {
		t.Error("a retired token was made for a namespace of the tenant's choice")
	}
	if got := subjectOf(s.retired(uidOld)); got != "a."+uidOld {
		t.Errorf("the retired token is of %q", got)
	}
}

// The storage is gone for good: after a while the namespace is let go.
func TestInPlacementTenantANamespaceIsLetGoInTheEnd(t *testing.T) {
	s := inTenants(t)
	edited := s.live().DeepCopy()
	edited.Data = nil
	s.store.secrets[refOf(edited)] = edited
	s.add(volume("pv", "a", s.layout.TokenSecret("a")))
	s.issuer.answers(func(context.Context, tenancy.Tenant) (exchange.Token, error) {
		return exchange.Token{}, errors.New("connection refused")
	})
	s.namespace(uidOld, terminating(s))
	if _, err := s.reconcile(t.Context(), a); !errors.Is(err, errWaiting) || s.live() == nil {
		t.Fatalf("%v; the Secret is there: %v; want it kept at first", err, s.live() != nil)
	}
	s.pass(s.retireTimeout)
	s.must(a)
	if s.live() != nil {
		t.Error("the namespace is still kept from going")
	}
	select {
	case event := <-s.recorder.Events:
		if !strings.Contains(event, "TokenReleased") {
			t.Errorf("event is %q", event)
		}
	default:
		t.Error("no event")
	}
}
