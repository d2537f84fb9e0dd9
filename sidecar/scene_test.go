package sidecar

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	corev1lister "k8s.io/client-go/listers/core/v1"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	recording "k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/flowcontrol"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/bulkhead-dev/bulkhead/exchange"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

const (
	uidOld = "0b1d3a52-5a0c-4f3e-9d2f-0c6f8a1b2c3d"
	uidNew = "7e6f5d4c-3b2a-4190-8877-665544332211"
)

// grantOf is a token that looks like one of the issuer's. Nobody verifies its
// signature here.
type grantOf struct {
	subject, id, keyID, policy string
	expires                    time.Time
	life                       time.Duration
}

func (g grantOf) token() exchange.Token {
	part := func(v any) string {
		raw, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	claims := map[string]any{"sub": g.subject, "jti": g.id}
	if !g.expires.IsZero() {
		claims["exp"], claims["iat"] = g.expires.Unix(), g.expires.Add(-g.life).Unix()
	}
	raw := part(map[string]string{"alg": "ES256", "kid": g.keyID}) + "." + part(claims) + "." + part("signature")
	return exchange.Token{Raw: raw, Life: g.life, Policy: g.policy}
}

// fakeIssuer grants tokens, and counts what it is asked.
type fakeIssuer struct {
	now  func() time.Time
	life time.Duration

	mu    sync.Mutex
	asked int
	// answer, if set, is asked instead.
	answer        func(context.Context, tenancy.Tenant) (exchange.Token, error)
	keyID, policy string
}

func (i *fakeIssuer) Exchange(ctx context.Context, t tenancy.Tenant) (exchange.Token, error) {
	i.mu.Lock()
	i.asked++
	answer, token := i.answer, grantOf{
		t.Subject("k14c1"), fmt.Sprint("token-", i.asked), i.keyID, i.policy, i.now().Add(i.life).Truncate(time.Second), i.life,
	}
	i.mu.Unlock()
	if answer != nil {
		return answer(ctx, t)
	}
	return token.token(), nil
}

func (i *fakeIssuer) answers(answer func(context.Context, tenancy.Tenant) (exchange.Token, error)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answer = answer
}

func (i *fakeIssuer) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked
}

// memoryStore is a tokenStore with the fences of an API server.
type memoryStore struct {
	now func() time.Time
	// wrote, if set, is told of each write after it happened.
	wrote func(old, now *corev1.Secret)

	mu      sync.Mutex
	secrets map[tenancy.SecretRef]*corev1.Secret
	version int
}

func refOf(s *corev1.Secret) tenancy.SecretRef {
	return tenancy.SecretRef{Namespace: s.Namespace, Name: s.Name}
}

func (m *memoryStore) get(ref tenancy.SecretRef) (*corev1.Secret, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.secrets[ref], nil
}

func (m *memoryStore) all() ([]*corev1.Secret, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Values(m.secrets)), nil
}

func (m *memoryStore) put(_ context.Context, old, want *corev1.Secret) error {
	m.mu.Lock()
	there := m.secrets[refOf(want)]
	if err := fence(old, there); err != nil {
		m.mu.Unlock()
		return err
	}
	m.version++
	want = want.DeepCopy()
	want.ResourceVersion = strconv.Itoa(m.version)
	want.UID, want.CreationTimestamp = types.UID(fmt.Sprint("secret-", m.version)), metav1.NewTime(m.now())
	if there != nil {
		want.UID, want.CreationTimestamp = there.UID, there.CreationTimestamp
	}
	m.secrets[refOf(want)] = want
	m.mu.Unlock()
	if m.wrote != nil {
		m.wrote(there, want)
	}
	return nil
}

func (m *memoryStore) remove(_ context.Context, old *corev1.Secret) error {
	m.mu.Lock()
	there := m.secrets[refOf(old)]
	err := fence(old, there)
	if err == nil {
		delete(m.secrets, refOf(old))
	}
	m.mu.Unlock()
	if err == nil && m.wrote != nil {
		m.wrote(there, nil)
	}
	return err
}

func fence(old, there *corev1.Secret) error {
	resource := corev1.Resource("secrets")
	switch {
	case old == nil && there != nil:
		return apierrors.NewAlreadyExists(resource, there.Name)
	// The real store is fenced by uid too, see TestAWriteIsFencedByVersionAndUID.
	case old != nil && (there == nil || there.ResourceVersion != old.ResourceVersion):
		return apierrors.NewConflict(resource, old.Name, errors.New("it has changed"))
	}
	return nil
}

// scene is a controller whose caches a test fills by hand.
type scene struct {
	*controller

	t          *testing.T
	clock      *clocktesting.FakeClock
	issuer     *fakeIssuer
	store      *memoryStore
	recorder   *recording.FakeRecorder
	namespaces cache.Indexer
	volumes    cache.Indexer
	contents   cache.Indexer
	// objects guards volumes and contents where they are read and written back.
	objects sync.Mutex
}

func newScene(t *testing.T, objects ...runtime.Object) *scene {
	t.Helper()
	s := &scene{t: t, clock: clocktesting.NewFakeClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))}
	s.build(s.clock.Now, objects...)
	s.minter.unscheduled = flowcontrol.NewFakeBackOff(minRetry, maxRetry, s.clock)
	return s
}

func (s *scene) build(now func() time.Time, objects ...runtime.Object) {
	s.t.Helper()
	s.issuer = &fakeIssuer{now: now, life: time.Hour, keyID: "key-1"}
	s.store = &memoryStore{now: now, secrets: map[tenancy.SecretRef]*corev1.Secret{}}
	s.recorder = recording.NewFakeRecorder(100)
	s.namespaces = cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	s.volumes = cache.NewIndexer(cache.MetaNamespaceKeyFunc, referrerIndexers())
	s.contents = cache.NewIndexer(cache.MetaNamespaceKeyFunc, referrerIndexers())
	scheme := metadatafake.NewTestScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		s.t.Fatal(err)
	}
	client := metadatafake.NewSimpleMetadataClient(scheme)
	client.PrependReactor("patch", "*", s.patched)
	m := newMetrics(prometheus.NewRegistry())
	s.controller = &controller{
		layout: tenancy.Layout{TokenNamespace: "tokens", Template: "px-${namespace}"}, metrics: m, now: now,
		tokens: s.store, namespaces: corev1lister.NewNamespaceLister(s.namespaces), events: s.recorder,
		selected: selection{selector: everything, exempt: []string{"tokens"}}, retireTimeout: 10 * time.Minute,
		references: &references{volumes: s.volumes, patch: client, knowledge: knowledge{volumesSynced: func() bool { return true }}},
		minter: &minter{
			issuer: s.issuer, accept: func(context.Context, string) error { return nil }, status: newStatus("", Selection{}), metrics: m, now: now,
			inForce: &inForce{}, unscheduled: flowcontrol.NewBackOff(minRetry, maxRetry),
		},
	}
	s.references.contents.Store(&s.contents)
	s.references.contentsSynced.Store(true)
	s.minter.inForce.changed = s.recheck
	s.start()
	s.t.Cleanup(s.lanes.shutDown)
	for _, object := range objects {
		s.add(object)
	}
}

// add puts an object into its cache.
func (s *scene) add(object runtime.Object) {
	s.t.Helper()
	indexer := s.volumes
	switch object.(type) {
	case *corev1.Namespace:
		indexer = s.namespaces
	case *snapshotv1.VolumeSnapshotContent:
		indexer = s.contents
	}
	if err := indexer.Update(object); err != nil {
		s.t.Fatal(err)
	}
}

// patched applies a merge patch of annotations to the cached object.
func (s *scene) patched(action clienttesting.Action) (bool, runtime.Object, error) {
	patch, ok := action.(clienttesting.PatchAction)
	if !ok {
		return false, nil, nil
	}
	s.objects.Lock()
	defer s.objects.Unlock()
	indexer := s.volumes
	if action.GetResource() == contentsResource {
		indexer = s.contents
	}
	object, found, err := indexer.GetByKey(patch.GetName())
	if err != nil || !found {
		return true, nil, apierrors.NewNotFound(action.GetResource().GroupResource(), patch.GetName())
	}
	var change struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
	}
	if err := json.Unmarshal(patch.GetPatch(), &change); err != nil {
		return true, nil, err
	}
	copied, _ := object.(runtime.Object)
	copied = copied.DeepCopyObject()
	meta, _ := copied.(metav1.Object)
	annotations := maps.Clone(meta.GetAnnotations())
	if annotations == nil {
		annotations = map[string]string{}
	}
	maps.Copy(annotations, change.Metadata.Annotations)
	meta.SetAnnotations(annotations)
	s.add(copied)
	return true, &metav1.PartialObjectMetadata{}, nil
}

func (s *scene) namespace(uid string, change func(*corev1.Namespace)) {
	s.t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "a", UID: types.UID(uid), CreationTimestamp: metav1.NewTime(s.now())}}
	if change != nil {
		change(ns)
	}
	s.add(ns)
}

func (s *scene) namespaceGone() {
	s.t.Helper()
	if err := s.namespaces.Delete(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "a"}}); err != nil {
		s.t.Fatal(err)
	}
}

func terminating(s *scene) func(*corev1.Namespace) {
	return func(ns *corev1.Namespace) {
		now := metav1.NewTime(s.now())
		ns.DeletionTimestamp = &now
	}
}

func (s *scene) secret(ref tenancy.SecretRef) *corev1.Secret {
	secret, _ := s.store.get(ref) // of a map
	return secret
}

func (s *scene) live() *corev1.Secret { return s.secret(s.layout.TokenSecret("a")) }
func (s *scene) retired(uid string) *corev1.Secret {
	return s.secret(s.layout.RetiredSecret(uid))
}

func (s *scene) must(k key) time.Duration {
	s.t.Helper()
	again, err := s.reconcile(s.t.Context(), k)
	if err != nil {
		s.t.Fatal(err)
	}
	return again
}

func (s *scene) pass(d time.Duration) { s.clock.Step(d) }

var a = key{ofNamespace, "a"}

func subjectOf(s *corev1.Secret) string {
	if s == nil {
		return ""
	}
	return strings.Split(s.Annotations[subjectAnnotation], "@")[0]
}
