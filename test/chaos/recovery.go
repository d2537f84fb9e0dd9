package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/test/actors"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// recoveryLimit is how much time without any fault everything may need to work
// again.
const recoveryLimit = time.Minute

// recoveries tells how long after a fault everything works again: a namespace that
// is made anew gets a token and its claim a volume, which takes webhook, sidecar,
// issuer, API server, driver and storage cluster.
type recoveries struct {
	admins   map[string]*actors.ClusterAdmin
	tenants  *tenants
	timeline *timeline
	recovers *check

	mu    sync.Mutex
	made  int
	times map[string][]time.Duration // by the kind of fault
}

// after waits until all that a fault befell works again, since its end.
func (r *recoveries) after(ctx context.Context, f fault, since time.Time) {
	var each sync.WaitGroup
	for _, name := range clusterNames {
		if f.befalls(name) {
			each.Go(func() { r.probe(ctx, f, r.admins[name], since) })
		}
	}
	each.Wait()
}

func (r *recoveries) probe(ctx context.Context, f fault, admin *actors.ClusterAdmin, since time.Time) {
	where := admin.Compute.Name
	p := &probe{recoveries: r, admin: admin}
	for {
		err := p.step(ctx)
		took := time.Since(since)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			r.recovers.held()
			// What another fault held up tells nothing of this one.
			if len(r.timeline.met(where, since, time.Now(), 0)) == 0 {
				r.mu.Lock()
				r.times[f.Kind] = append(r.times[f.Kind], took)
				r.mu.Unlock()
			}
			p.leave(ctx)
			return
		case r.timeline.calm(where, since) > recoveryLimit:
			r.recovers.broken("after %s, %s does not work again: %v", f, where, err)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(probeInterval):
		}
	}
}

const probeInterval = 100 * time.Millisecond

// probe is one new namespace on its way to a volume.
type probe struct {
	*recoveries

	admin *actors.ClusterAdmin
	team  *actors.Team
	claim *corev1.PersistentVolumeClaim
}

// step goes as far as it can.
func (p *probe) step(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if p.team == nil {
		p.mu.Lock()
		p.made++
		name := fmt.Sprintf("probe-%03d", p.made)
		p.mu.Unlock()
		team, err := p.admin.NewTeam(ctx, name)
		if err != nil {
			return err
		}
		p.tenants.add(team)
		p.team = team
	}
	if p.claim == nil {
		claim := p.team.Claim("probe", actors.CSIClass)
		if err := client.IgnoreAlreadyExists(p.team.Create(ctx, claim)); err != nil {
			return fmt.Errorf("make a claim: %w", err)
		}
		p.claim = claim
	}
	if err := p.team.Get(ctx, client.ObjectKeyFromObject(p.claim), p.claim); err != nil {
		return fmt.Errorf("look at the claim: %w", err)
	}
	if p.claim.Status.Phase != corev1.ClaimBound {
		return errors.New("the claim is not bound")
	}
	return nil
}

// leave deletes the namespace, bound claim and all. One whose claim is not bound
// stays: a volume that is still being made when its namespace goes may be left
// behind, which docs/threats.md says.
func (p *probe) leave(ctx context.Context) {
	_ = cluster.Poll(ctx, recoveryLimit, func(ctx context.Context) error {
		return client.IgnoreNotFound(p.admin.Delete(ctx, p.team.Namespace))
	})
}

// worst and median of the recoveries of a kind, and how many there were.
func (r *recoveries) of(kind string) (median, worst time.Duration, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	times := slices.Sorted(slices.Values(r.times[kind]))
	if len(times) == 0 {
		return 0, 0, 0
	}
	return times[len(times)/2], times[len(times)-1], len(times)
}
