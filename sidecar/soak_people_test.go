package sidecar

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// What people do in the week: they make namespaces and volumes, use them, try those
// of others, and go.

// arrive makes a namespace, and its volume as soon as it has a token.
func (s *soak) arrive(ctx context.Context, name string) {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: name, UID: types.UID(uuid.NewString()), CreationTimestamp: metav1.NewTime(s.now()),
	}}
	s.change(ns)
	s.seeNamespace(ns)
	came := s.now()
	for s.token(s.layout.TokenSecret(name), tenantOf(ns)) == "" {
		if !passes(ctx, time.Second) {
			return
		}
	}
	if s.answered(came) {
		s.counted(func(c *soakCount) { c.longestWait = max(c.longestWait, time.Since(came)) })
	}
	s.provision(ctx, ns)
}

// provision makes a volume, for every fourth namespace with a snapshot.
func (s *soak) provision(ctx context.Context, ns *corev1.Namespace) {
	token, ref := s.token(s.layout.TokenSecret(ns.Name), tenantOf(ns)), s.layout.TokenSecret(ns.Name)
	for i, object := range []metav1.Object{volume(uuid.NewString(), ns.Name, ref), snapshotContent(uuid.NewString(), ns.Name, ref)} {
		const oneIn = 4
		if i > 0 && rand.IntN(oneIn) > 0 {
			return
		}
		if err := s.storage.create(ctx, token, object.GetName()); err != nil {
			s.fault("%s cannot make a volume: %v", ns.Name, err)
			return
		}
		annotations := object.GetAnnotations()
		for key, value := range tenantOf(ns).Origin() { // as the webhook does
			annotations[key] = value
		}
		object.SetUID(types.UID(object.GetName()))
		object.SetCreationTimestamp(metav1.NewTime(s.now()))
		held, _ := object.(runtime.Object)
		s.change(held)
		s.seeReferrer(object)
	}
}

// leave deletes a namespace, whose name the next one takes or not. What it leaves
// behind is deleted at once, later, or by an admin after half a day.
func (s *soak) leave(ctx context.Context, ns *corev1.Namespace, reused bool) {
	s.leaving.Add(1)
	defer s.leaving.Add(-1)
	terminating := ns.DeepCopy()
	now := metav1.NewTime(s.now())
	terminating.DeletionTimestamp = &now
	s.change(terminating)
	s.seeNamespace(terminating)
	left, err := s.references.find(byOrigin, string(ns.UID))
	if err != nil {
		s.fault("what %s leaves: %v", ns.Name, err)
		return
	}
	for _, r := range left {
		s.leaving.Add(1)
		go func() {
			defer s.leaving.Add(-1)
			s.reclaim(ctx, r)
		}()
	}
	if !passes(ctx, 5*time.Second+rand.N(time.Minute)) {
		return
	}
	if err := s.namespaces.Delete(terminating); err != nil {
		s.fault("delete %s: %v", ns.Name, err)
	}
	s.seeNamespace(terminating)
	if reused {
		s.counted(func(c *soakCount) { c.reused++ })
		s.arrive(ctx, ns.Name)
		// The new owner of the name tries what the old one left.
		for _, r := range left {
			s.attack(ctx, ns.Name, r.object.GetName(), "of the namespace that had the name before")
		}
		return
	}
	s.arrive(ctx, "ns-"+uuid.NewString())
}

// reclaim deletes a volume or snapshot as the CSI sidecars do: with the token in the
// Secret that it names at that moment, again until it works.
func (s *soak) reclaim(ctx context.Context, left referrer) {
	waits := []time.Duration{0, rand.N(time.Minute), rand.N(3 * time.Hour), 12 * time.Hour}
	if !passes(ctx, time.Second+waits[rand.IntN(len(waits))]) {
		return
	}
	name := left.object.GetName()
	for {
		r, there := s.referrer(left)
		if !there {
			s.fault("%s is gone before it was deleted", name)
			return
		}
		p := r.pairs[0]
		a := r.object.GetAnnotations()
		ref := tenancy.SecretRef{Namespace: a[p.NamespaceKey], Name: a[p.NameKey]}
		err := errors.New("there is no such Secret")
		if secret := s.secret(ref); secret != nil {
			err = s.storage.remove(ctx, string(secret.Data[tenancy.TokenKey]), name)
		}
		if err == nil {
			break
		}
		if s.answered(s.now().Add(-soakSettle)) {
			s.fault("%s cannot be deleted with %s: %v", name, ref, err)
		}
		if !passes(ctx, time.Minute) {
			return
		}
	}
	s.objects.Lock()
	r, _ := s.referrer(left)
	indexer := s.volumes
	if _, is := r.object.(*snapshotv1.VolumeSnapshotContent); is {
		indexer = s.contents
	}
	err := indexer.Delete(r.object)
	s.objects.Unlock()
	if err != nil {
		s.fault("delete %s: %v", name, err)
	}
	s.seeReferrer(r.object)
	s.counted(func(c *soakCount) { c.reclaimed++ })
}

// referrer is an object as it is now.
func (s *soak) referrer(was referrer) (referrer, bool) {
	indexer := s.volumes
	if was.resource == contentsResource {
		indexer = s.contents
	}
	object, there, err := indexer.GetByKey(was.object.GetName())
	if err != nil || !there {
		return referrer{}, false
	}
	return referrerOf(object)
}

// churn has one in a hundred namespaces, and at least four, go and others come each
// day, until the context ends; what has begun then goes on. The name of every second
// one is taken again.
func (s *soak) churn(ctx, begun context.Context) {
	const share, fewest = 100, 4
	every := 24 * time.Hour / time.Duration(max(s.size/share, fewest))
	for reused := true; passes(ctx, every); {
		all := s.namespaces.List()
		if ns, ok := all[rand.IntN(len(all))].(*corev1.Namespace); ok && stays(ns) {
			s.counted(func(c *soakCount) { c.gone++ })
			go s.leave(begun, ns, reused)
			reused = !reused
		}
	}
}

// work has some namespaces use a volume of their own, and try one of another's.
func (s *soak) work(ctx context.Context) {
	for passes(ctx, 10*time.Minute) {
		volumes := s.volumes.List()
		for range soakUses {
			r, ok := referrerOf(volumes[rand.IntN(len(volumes))])
			other, _ := referrerOf(volumes[rand.IntN(len(volumes))])
			ns, err := s.controller.namespace(r.namespace)
			if origin, _ := r.origin(); !ok || err != nil || !stays(ns) || origin != tenantOf(ns) {
				continue
			}
			if token := s.token(s.layout.TokenSecret(ns.Name), tenantOf(ns)); token != "" {
				s.counted(func(c *soakCount) { c.uses++ })
				if err := s.storage.use(ctx, token, r.object.GetName(), nil); err != nil {
					s.counted(func(c *soakCount) { c.refused++ })
					s.fault("%s cannot use its volume with a token that has not ended: %v", ns.Name, err)
				}
			} else if s.answered(s.now().Add(-soakSettle)) {
				s.fault("%s has no valid token", ns.Name)
			}
			if origin, _ := other.origin(); origin.Namespace != ns.Name {
				s.attack(ctx, ns.Name, other.object.GetName(), "of "+origin.Namespace)
			}
		}
	}
}

// attack uses a volume of another tenant with the token of a namespace.
func (s *soak) attack(ctx context.Context, namespace, volume, whose string) {
	secret := s.secret(s.layout.TokenSecret(namespace))
	if secret == nil || s.storage.owner(volume) == "" {
		return
	}
	s.counted(func(c *soakCount) { c.attacks++ })
	if err := s.storage.use(ctx, string(secret.Data[tenancy.TokenKey]), volume, nil); err == nil {
		s.counted(func(c *soakCount) { c.stolen++ })
		s.fault("%s has used a volume %s", namespace, whose)
	}
}

// token is what a Secret holds, if it is the tenant's and has not ended.
func (s *soak) token(ref tenancy.SecretRef, tenant tenancy.Tenant) string {
	secret := s.secret(ref)
	if secret == nil {
		return ""
	}
	r, ok := recordOf(secret)
	if !ok || r.tenant != tenant || !s.now().Before(r.expires) {
		return ""
	}
	return string(secret.Data[tenancy.TokenKey])
}

// change puts an object into its cache, as an informer would.
func (s *soak) change(object runtime.Object) {
	s.objects.Lock()
	defer s.objects.Unlock()
	s.add(object)
}

// fault keeps what must not happen; the first few are told.
func (s *soak) fault(format string, arguments ...any) {
	s.counted(func(c *soakCount) {
		c.faults++
		const told = 20
		if c.faults <= told {
			s.t.Errorf("after %v: %s", s.now().Sub(s.start).Round(time.Second), fmt.Sprintf(format, arguments...))
		}
	})
}
