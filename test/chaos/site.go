package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bulkhead-dev/bulkhead/test/actors"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

const (
	// tokenLife is short, so that every token is replaced many times in a run.
	tokenLife = time.Minute
	// retryMax is how long the CSI sidecars wait at most before they try again what
	// failed. By themselves they take five minutes, after which it would not be seen
	// whether all works again.
	retryMax = 20 * time.Second
	// auditDisk is what the audit log of a replica of the issuer has room on, in
	// bytes: several times what the longest run writes.
	auditDisk = 64 << 20
)

// clusterNames are the compute clusters.
var clusterNames = []string{"k14c1", "k14c2"}

// site is what faults befall: a storage cluster, an issuer of two replicas, and two
// compute clusters with two replicas of webhook and sidecar each.
type site struct {
	env     *cluster.Environment
	issuers *cluster.Issuers
	// front is before the issuer, for all who ask it.
	front *cluster.Balancer
	// sdk and socket are before the storage cluster, for webhooks and CSI drivers.
	// Who checks, and who attacks, goes past them.
	sdk, socket *cluster.Balancer
	direct      *cluster.Storage
	storage     *actors.StorageAdmin
	admins      map[string]*actors.ClusterAdmin
	clocks      map[string]clockFile
	closing     []*cluster.Balancer
}

// newSite starts it all.
func newSite(ctx context.Context, dir string, out io.Writer) (*site, error) {
	binaries, err := cluster.Build(ctx, out)
	if err != nil {
		return nil, err
	}
	env, err := cluster.New(cluster.Config{Dir: dir, Binaries: binaries, TokenLife: tokenLife, RetryMax: retryMax, Out: out})
	if err != nil {
		return nil, err
	}
	s := &site{env: env, admins: map[string]*actors.ClusterAdmin{}, clocks: map[string]clockFile{}}
	return s, s.start(ctx)
}

func (s *site) start(ctx context.Context) error {
	computes := make([]*cluster.Compute, len(clusterNames))
	entries := make([]string, len(clusterNames))
	group, starting := errgroup.WithContext(ctx)
	for i, name := range clusterNames {
		group.Go(func() (err error) {
			if computes[i], err = s.env.StartControlPlane(starting, name); err != nil {
				return err
			}
			entry, err := s.env.Registration(starting, computes[i])
			entries[i] = string(entry)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := s.startStorage(ctx, strings.Join(entries, "")); err != nil {
		return err
	}
	group, starting = errgroup.WithContext(ctx)
	var mu sync.Mutex
	for _, c := range computes {
		shiftable, err := s.shiftable("sidecar", c.Name)
		if err != nil {
			return err
		}
		group.Go(func() error {
			admin, err := s.install(starting, c, shiftable)
			mu.Lock()
			defer mu.Unlock()
			s.admins[c.Name] = admin
			return err
		})
	}
	return group.Wait()
}

// startStorage starts the issuer and the storage cluster, each behind what fails in
// their stead.
func (s *site) startStorage(ctx context.Context, entries string) (err error) {
	if s.front, err = s.balancer(cluster.NewBalancer()); err != nil {
		return err
	}
	shiftable, err := s.shiftable("issuer", "issuer")
	if err != nil {
		return err
	}
	s.issuers, err = s.env.StartIssuers(ctx, cluster.IssuersConfig{
		URL: "https://" + s.front.Address(), Replicas: replicas, Clusters: entries,
		AuditDisk: auditDisk, Substitutes: map[int]cluster.Substitute{1: shiftable},
	})
	if err != nil {
		return err
	}
	s.front.SpreadOver(s.issuers.Replicas[0].Address, s.issuers.Replicas[1].Address)
	addresses, err := cluster.FreeAddresses(1)
	if err != nil {
		return err
	}
	if err := s.env.StartStorageNode(ctx, s.issuers, addresses[0]); err != nil {
		return err
	}
	if _, err := s.env.SetUpStorage(ctx); err != nil {
		return err
	}
	direct := *s.env.Storage
	s.direct = &direct
	if s.storage, err = actors.NewStorageAdmin(s.direct); err != nil {
		return err
	}
	if s.sdk, err = s.balancer(cluster.NewBalancer()); err != nil {
		return err
	}
	s.sdk.SpreadOver(direct.SDKAddress)
	if s.socket, err = s.balancer(cluster.NewSocketBalancer(filepath.Join(filepath.Dir(direct.SDKSocket), "FRONT.sock"))); err != nil {
		return err
	}
	s.socket.SpreadOver(direct.SDKSocket)
	s.env.Storage.SDKAddress, s.env.Storage.SDKSocket = s.sdk.Address(), s.socket.Address()
	return nil
}

func (s *site) balancer(b *cluster.Balancer, err error) (*cluster.Balancer, error) {
	if err == nil {
		s.closing = append(s.closing, b)
	}
	return b, err
}

// install installs Bulkhead and what Portworx brings.
func (s *site) install(ctx context.Context, c *cluster.Compute, first cluster.Substitute) (*actors.ClusterAdmin, error) {
	if err := s.env.StartDriver(ctx, c); err != nil {
		return nil, err
	}
	err := s.env.InstallAs(ctx, c, cluster.Installation{
		WebhookReplicas: replicas, SidecarReplicas: replicas,
		SidecarSubstitutes: map[int]cluster.Substitute{1: first},
		// In proportion to the life of tokens; an install has 15 s for an hour.
		SidecarArgs: []string{
			"--leader-election-lease-duration=5s", "--leader-election-renew-deadline=4s", "--leader-election-retry-period=1s",
		},
	})
	if err != nil {
		return nil, err
	}
	admin, err := actors.NewClusterAdmin(ctx, c)
	if err != nil {
		return nil, err
	}
	return admin, admin.MakeClasses(ctx)
}

// stop ends all processes.
func (s *site) stop() {
	s.env.Stop()
	for _, b := range s.closing {
		b.Close()
	}
}

// productProcesses are those of the product's that run for as long as the run.
func (s *site) productProcesses() []*cluster.Process {
	processes := issuers(s, storageLane)
	for _, name := range clusterNames {
		processes = append(append(processes, webhooks(s, name)...), sidecars(s, name)...)
	}
	return processes
}

// makeTeams makes the teams of the load, as many in each compute cluster and with
// the same names in all. Each has a claim that nothing of the load touches.
func (s *site) makeTeams(ctx context.Context, n int, known *tenants) ([]*actors.Team, error) {
	teams := make([]*actors.Team, n)
	group, making := errgroup.WithContext(ctx)
	const atOnce = 4
	group.SetLimit(atOnce)
	for i := range n {
		group.Go(func() error {
			admin := s.admins[clusterNames[i%len(clusterNames)]]
			team, err := admin.NewTeam(making, fmt.Sprintf("team-%02d", 1+i/len(clusterNames)))
			if err != nil {
				return err
			}
			known.add(team)
			handles, err := team.MakeBound(making, team.Claim(vault, actors.CSIClass))
			if err != nil {
				return err
			}
			known.addVault(team, handles[0])
			teams[i] = team
			return nil
		})
	}
	return teams, group.Wait()
}
