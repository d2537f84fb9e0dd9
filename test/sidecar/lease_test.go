package sidecar

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/actors"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// twoReplicas change places sooner than those of an install.
var twoReplicas = cluster.Installation{SidecarReplicas: 2, SidecarArgs: []string{
	"--leader-election-lease-duration=5s", "--leader-election-renew-deadline=4s", "--leader-election-retry-period=1s",
}}

// leader is the replica that holds the lease, and the others are the others.
func leader(ctx context.Context, admin *actors.ClusterAdmin) (holder *cluster.Process, others []*cluster.Process, err error) {
	leases, err := admin.Compute.Client.CoordinationV1().Leases("bulkhead-system").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, nil, err
	}
	for _, lease := range leases.Items {
		if !strings.HasPrefix(lease.Name, "bulkhead-sidecar-") || lease.Spec.HolderIdentity == nil {
			continue
		}
		for _, p := range admin.Compute.Sidecars {
			if strings.HasSuffix(p.Name, "-"+*lease.Spec.HolderIdentity) {
				holder = p
			} else {
				others = append(others, p)
			}
		}
	}
	if holder == nil {
		return nil, nil, errors.New("no replica holds the lease")
	}
	return holder, others, nil
}

func waitForLeader(t *testing.T, admin *actors.ClusterAdmin, not *cluster.Process) (holder *cluster.Process) {
	t.Helper()
	within(t, patience, "a leader", func(ctx context.Context) (err error) {
		holder, _, err = leader(ctx, admin)
		if err == nil && holder == not {
			err = fmt.Errorf("it is still %s", holder.Name)
		}
		return err
	})
	return holder
}

func TestTheOtherReplicaGoesOnWhenTheLeaderIsKilled(t *testing.T) {
	admin := central()
	upgrade(t, admin, twoReplicas)
	first := waitForLeader(t, admin, nil)
	team := newTeam(t, admin, "before-kill")
	waitForToken(t, team)
	first.Kill()
	late := newTeam(t, admin, "after-kill")
	second := waitForLeader(t, admin, first)
	waitForToken(t, late)
	if err := holdsTokenOf(t.Context(), team, live(team)); err != nil {
		t.Error(err)
	}
	restarts := second.Restarts()
	if err := first.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	// One that could not renew its lease in time has given it up by itself.
	if holder := waitForLeader(t, admin, nil); holder != second && second.Restarts() == restarts {
		t.Errorf("%s took the lease from %s", holder.Name, second.Name)
	}
	wantNoFailure(t)
}

// The worst moment to be paused: the issuer's answers are there, unread. When the
// leader wakes up, another one has long published newer tokens: into a Secret that
// the old one wants to make, and into one that it wants to change.
func TestALeaderThatWakesUpWritesNothingStale(t *testing.T) {
	admin := central()
	upgrade(t, admin, twoReplicas)
	old := waitForLeader(t, admin, nil)
	deleted, edited := newTeam(t, admin, "deleted"), newTeam(t, admin, "edited")
	both := []*actors.Team{deleted, edited}
	for _, team := range both {
		waitForToken(t, team)
	}
	held := holdFirst(t, both...)
	if err := admin.Delete(t.Context(), object(live(deleted))); err != nil {
		t.Fatal(err)
	}
	secret, err := edited.TokenSecret(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := edit(admin, func(s *corev1.Secret) { s.Data = nil })(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	held.asked.Wait()
	old.Freeze()
	t.Cleanup(old.Thaw)
	close(held.release)
	held.answered.Wait()

	waitForLeader(t, admin, old)
	published := map[*actors.Team]string{}
	for _, team := range both {
		waitForToken(t, team)
		secret, err := team.TokenSecret(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		published[team] = secret.ResourceVersion
	}
	restarts := old.Restarts()
	old.Thaw()
	within(t, patience, "the old leader started again", func(context.Context) error {
		if old.Restarts() == restarts || !old.Running() {
			return errors.New("it has not noticed that it lost the lease")
		}
		return nil
	})
	for _, team := range both {
		// Through one more replacement, by whoever leads now.
		writes := func() []write { return recorders[admin].of(live(team)) }
		before := len(writes())
		within(t, patience, "one more token", func(ctx context.Context) error {
			if len(writes()) == before {
				return errors.New("none")
			}
			return holdsTokenOf(ctx, team, live(team))
		})
		seen := slices.DeleteFunc(writes(), func(w write) bool { return w.token == "" }) // our own edit
		if err := neverBack(seen); err != nil {
			t.Error(err)
		}
		i := slices.IndexFunc(seen, func(w write) bool { return w.version == published[team] })
		if i < 0 || i+1 == len(seen) {
			t.Errorf("%s: the watch has seen %d tokens, that of the new leader at %d", team.Namespace.Name, len(seen), i)
		} else if seen[i+1].seen.Before(seen[i].refresh) {
			t.Errorf("%s: the new leader's token was replaced before its time", team.Namespace.Name)
		}
	}
	wantNoFailure(t)
}

// hold is what happens to the first requests for some teams.
type hold struct {
	// asked is done when each has come, answered when each has its answer, which
	// waits for release to be closed.
	asked, answered sync.WaitGroup
	release         chan struct{}
}

func holdFirst(t *testing.T, teams ...*actors.Team) *hold {
	t.Helper()
	h := &hold{release: make(chan struct{})}
	h.asked.Add(len(teams))
	h.answered.Add(len(teams))
	var mu sync.Mutex
	waiting := map[tenancy.Tenant]bool{}
	for _, team := range teams {
		waiting[team.Tenant()] = true
	}
	stage.Env.Storage.Front.Behave(func(ask cluster.Ask) cluster.Fault {
		mu.Lock()
		defer mu.Unlock()
		if !waiting[ask.Tenant] {
			return nil
		}
		delete(waiting, ask.Tenant)
		h.asked.Done()
		return cluster.Hold(h.release, h.answered.Done)
	})
	t.Cleanup(func() { stage.Env.Storage.Front.Behave(nil) })
	return h
}
