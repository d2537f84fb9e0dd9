package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"
)

// run is one run: a site, a load, thieves, faults and those who watch.
type run struct {
	options

	faults     []fault
	checks     checks
	tenants    *tenants
	timeline   *timeline
	load       load
	thieves    *thieves
	recoveries *recoveries
	secrets    *secrets
	owners     *owners
	site       *site
	began      time.Time
	took       time.Duration

	stays, restarts *check
}

func newRun(o options, faults []fault) *run {
	r := &run{options: o, faults: faults, tenants: newTenants(), timeline: &timeline{}}
	r.owners = &owners{
		tenants: r.tenants, of: map[string]string{}, doubles: newDoubles(),
		owned:   r.checks.that("every volume's owner is the subject of its namespace"),
		crossed: r.checks.that("no volume was made from another tenant's"),
	}
	r.thieves = &thieves{tenants: r.tenants, stolen: r.checks.that("no attack succeeded")}
	r.secrets = &secrets{
		timeline: r.timeline, signatures: map[string]bool{}, ids: map[string]bool{},
		fresh: r.checks.that("no Secret held an expired token while the issuer was in reach"),
	}
	r.recoveries = &recoveries{
		tenants: r.tenants, timeline: r.timeline, times: map[string][]time.Duration{},
		recovers: r.checks.that(fmt.Sprintf("after each fault all works again within %v", recoveryLimit)),
	}
	r.restarts = r.checks.that("what was killed starts again")
	r.stays = r.checks.that("no component ended by itself, but those that give up a lease")
	return r
}

// play does it all. The error is why it could not be played to its end.
func (r *run) play(ctx context.Context) (err error) {
	r.site, err = newSite(ctx, r.dir, os.Stdout)
	if r.site != nil {
		defer r.site.stop()
	}
	if err != nil {
		return r.site.explain(err)
	}
	s := r.site
	r.owners.storage, r.recoveries.admins, r.secrets.admins = s.storage, s.admins, s.admins
	teams, err := s.makeTeams(ctx, r.namespaces, r.tenants)
	if err != nil {
		return s.explain(err)
	}
	fmt.Printf("%d namespaces have a volume each; faults come for %v\n", len(teams), r.length)

	watching, endWatch := context.WithCancel(ctx)
	defer endWatch()
	grown := newGrowth(s.productProcesses(), r.checks.that("no process of the product has grown since it was warm"))
	var watchers sync.WaitGroup
	for _, watch := range []func(context.Context){r.owners.watch, r.secrets.watch, grown.watch, r.watchComponents} {
		watchers.Go(func() { watch(watching) })
	}
	working, endWork := context.WithCancel(ctx)
	defer endWork()
	r.load.start(working, teams, r.seed)
	if err := r.thieves.start(working, s, teams, r.seed); err != nil {
		return s.explain(err)
	}

	r.began = time.Now()
	r.bringAbout(ctx)
	r.took = time.Since(r.began)
	endWork()
	r.load.wait()
	r.thieves.wait()
	fmt.Println("the faults are over; waiting for the dust to settle")
	endWatch()
	watchers.Wait()
	r.afterwards(ctx, grown)
	if ctx.Err() != nil {
		return s.explain(fmt.Errorf("interrupted: %w", context.Cause(ctx)))
	}
	return nil
}

// explain says where the logs are.
func (s *site) explain(err error) error {
	if s == nil {
		return err
	}
	return fmt.Errorf("%w; logs of every component: %s", err, s.env.Logs())
}

// bringAbout brings the faults about, each at its time, and waits until all works
// again after the last.
func (r *run) bringAbout(ctx context.Context) {
	var each sync.WaitGroup
	for _, f := range r.faults {
		select {
		case <-ctx.Done():
		case <-time.After(time.Until(r.began.Add(f.At))):
			each.Go(func() { r.befall(ctx, f) })
		}
	}
	each.Wait()
	select {
	case <-ctx.Done():
	case <-time.After(time.Until(r.began.Add(r.length))):
	}
}

func (r *run) befall(ctx context.Context, f fault) {
	fmt.Println(f)
	over := r.timeline.begin(f)
	end, err := kindNamed(f.Kind).begin(ctx, r.site, f)
	if err != nil {
		r.restarts.broken("%s could not be brought about: %v", f, err)
	}
	select {
	case <-ctx.Done():
		return
	case <-time.After(f.Lasts):
	}
	since := over()
	if end != nil {
		if err := end(ctx); err != nil && ctx.Err() == nil {
			r.restarts.broken("after %s: %v", f, err)
		} else {
			r.restarts.held()
		}
	}
	r.recoveries.after(ctx, f, since)
}

// watchComponents waits for components that end by themselves.
func (r *run) watchComponents(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			r.stays.held()
			return
		case err := <-r.site.env.Failed():
			r.stays.broken("%v", err)
		}
	}
}

// afterwards checks what can be told once nothing happens any more.
func (r *run) afterwards(ctx context.Context, grown *growth) {
	s := r.site
	o := &orphans{
		admins: s.admins, owners: r.owners, tenants: r.tenants, stolen: r.thieves.stolen,
		none: r.checks.that("no volume is orphaned and nothing is stuck once the dust has settled"),
		lost: r.checks.that("no volume is lost"),
	}
	o.settle(ctx)
	for _, name := range clusterNames {
		if err := r.secrets.look(ctx, s.admins[name]); err != nil {
			r.secrets.fresh.broken("the Secrets of %s cannot be read: %v", name, err)
		}
	}
	grown.judge(ctx)
	silent := r.checks.that("no log holds a token")
	l := &logFiles{folder: s.env.Logs(), product: map[string]bool{}, signatures: r.secrets.signatures, silent: silent}
	for _, p := range s.productProcesses() {
		l.product[p.Name] = true
	}
	if err := l.search(); err != nil {
		silent.broken("%v", err)
	}
	a := &audit{replicas: s.issuers.Replicas, accounted: r.checks.that("every token is in the issuer's audit log")}
	if err := a.compare(r.secrets.ids); err != nil {
		a.accounted.broken("%v", err)
	}
}
