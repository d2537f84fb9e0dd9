package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/test/actors"
)

const (
	// pace is how often a namespace does something, on average.
	pace = 8 * time.Second
	// callTimeout bounds one call to the API server, which may be away.
	callTimeout = 10 * time.Second
	// usePatience is how long a worker waits for what it asked for; then it goes on
	// with other things and looks again later.
	usePatience = 30 * time.Second
	// Bounds of what a namespace has at a time.
	maxClaims    = 4
	maxSnapshots = 2
)

// Outcomes of an operation.
const (
	done = "done"
	// late is what was accepted and took longer than anybody waited.
	late = "late"
	// refused is what failed at once, as it does while a fault is in force.
	refused = "refused"
)

// load is what app teams do all along: claims, clones, snapshots, restores, and
// the deletion of each.
type load struct {
	operations counts
	workers    sync.WaitGroup
}

// start has each team work until ctx ends.
func (l *load) start(ctx context.Context, teams []*actors.Team, seed uint64) {
	for i, team := range teams {
		w := &worker{load: l, team: team, chance: rand.New(rand.NewPCG(seed, uint64(i)))}
		l.workers.Go(func() { w.work(ctx) })
	}
}

// wait returns when nobody works any more.
func (l *load) wait() { l.workers.Wait() }

// worker is a team at work. It does one thing at a time.
type worker struct {
	*load

	team   *actors.Team
	chance *rand.Rand
	made   int
	// claims are bound and snapshots ready; unsure is what was asked for, and may
	// come yet.
	claims, snapshots []string
	unsure            []client.Object
}

func (w *worker) work(ctx context.Context) {
	for {
		wait := pace/2 + time.Duration(w.chance.Int64N(int64(pace)))
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		// What is still to come may need what is there: nothing goes before.
		if w.unsure = slices.DeleteFunc(w.unsure, func(o client.Object) bool { return w.settled(ctx, o) }); len(w.unsure) > 0 {
			continue
		}
		what, do := w.next()
		w.operations.add(what, do(ctx))
	}
}

// next draws what to do, of what can be done now.
func (w *worker) next() (what string, do func(context.Context) string) {
	type choice struct {
		what string
		can  bool
		do   func(context.Context) string
	}
	room := len(w.claims) < maxClaims
	choices := slices.DeleteFunc([]choice{
		{"claim", room, func(ctx context.Context) string { return w.claim(ctx) }},
		{"clone", room && len(w.claims) > 0, func(ctx context.Context) string {
			return w.claim(ctx, actors.CloneOf("", w.one(w.claims)))
		}},
		{"restore", room && len(w.snapshots) > 0, func(ctx context.Context) string {
			return w.claim(ctx, actors.RestoredFrom(w.one(w.snapshots)))
		}},
		{"snapshot", len(w.claims) > 0 && len(w.snapshots) < maxSnapshots, w.snapshot},
		{"delete a claim", len(w.claims) > 1, func(ctx context.Context) string {
			return w.remove(ctx, &w.claims, func(name string) client.Object { return w.team.Claim(name, actors.CSIClass) })
		}},
		{"delete a snapshot", len(w.snapshots) > 0, func(ctx context.Context) string {
			return w.remove(ctx, &w.snapshots, func(name string) client.Object { return snapshotOf(w.team, name, "") })
		}},
	}, func(c choice) bool { return !c.can })
	chosen := choices[w.chance.IntN(len(choices))]
	return chosen.what, chosen.do
}

func (w *worker) one(of []string) string { return of[w.chance.IntN(len(of))] }

func (w *worker) name(kind string) string {
	w.made++
	return fmt.Sprintf("%s-%03d", kind, w.made)
}

func (w *worker) claim(ctx context.Context, changes ...func(*corev1.PersistentVolumeClaim)) string {
	classes := []string{actors.CSIClass, actors.CSIClass, actors.InTreeClass}
	class := classes[w.chance.IntN(len(classes))]
	if len(changes) > 0 {
		class = actors.CSIClass // the translation of in-tree classes takes no source
	}
	return w.ask(ctx, w.team.Claim(w.name("claim"), class, changes...))
}

func (w *worker) snapshot(ctx context.Context) string {
	return w.ask(ctx, snapshotOf(w.team, w.name("snapshot"), w.one(w.claims)))
}

func snapshotOf(team *actors.Team, name, claim string) *snapshotv1.VolumeSnapshot {
	class := actors.SnapshotClass
	return &snapshotv1.VolumeSnapshot{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: team.Namespace.Name},
		Spec: snapshotv1.VolumeSnapshotSpec{
			VolumeSnapshotClassName: &class, Source: snapshotv1.VolumeSnapshotSource{PersistentVolumeClaimName: &claim},
		},
	}
}

// ask creates an object and waits until it can be used.
func (w *worker) ask(ctx context.Context, object client.Object) string {
	err := w.call(ctx, func(ctx context.Context) error { return w.team.Create(ctx, object) })
	w.unsure = append(w.unsure, object)
	if err != nil {
		return refused // as far as is known: it is looked for before anything else
	}
	deadline := time.Now().Add(usePatience)
	for time.Now().Before(deadline) {
		if w.settled(ctx, object) {
			w.unsure = nil
			return done
		}
		select {
		case <-ctx.Done():
			return late
		case <-time.After(lookInterval):
		}
	}
	return late
}

// lookInterval is how often a worker looks at what it waits for.
const lookInterval = 500 * time.Millisecond

// settled is whether nothing more is to come of an object: it can be used, and is
// noted, or it is not there.
func (w *worker) settled(ctx context.Context, object client.Object) bool {
	err := w.call(ctx, func(ctx context.Context) error { return w.team.Get(ctx, client.ObjectKeyFromObject(object), object) })
	if apierrors.IsNotFound(err) {
		return true
	}
	if err != nil {
		return false
	}
	switch o := object.(type) {
	case *corev1.PersistentVolumeClaim:
		if o.Status.Phase == corev1.ClaimBound {
			w.claims = append(w.claims, o.Name)
			return true
		}
	case *snapshotv1.VolumeSnapshot:
		if o.Status != nil && o.Status.ReadyToUse != nil && *o.Status.ReadyToUse {
			w.snapshots = append(w.snapshots, o.Name)
			return true
		}
	}
	return false
}

// remove deletes one of those of that name.
func (w *worker) remove(ctx context.Context, of *[]string, object func(string) client.Object) string {
	name := w.one(*of)
	err := w.call(ctx, func(ctx context.Context) error { return w.team.Delete(ctx, object(name)) })
	if client.IgnoreNotFound(err) != nil {
		return refused // and is tried again some time
	}
	*of = slices.DeleteFunc(*of, func(other string) bool { return other == name })
	return done
}

func (w *worker) call(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return do(ctx)
}
