package actors

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// Classes that every cluster of a stage has.
const (
	CSIClass      = "px-csi"
	InTreeClass   = "px-intree"
	SnapshotClass = "px-snapshots"
)

// Stage is a storage cluster with compute clusters on which Bulkhead is
// installed and the classes are made.
type Stage struct {
	Env     *cluster.Environment
	Storage *StorageAdmin
	// Admins are the admins of the compute clusters, in the order of their names.
	Admins []*ClusterAdmin

	// What follows is for RunOnStage, before the stage is set. Front puts a
	// cluster.Front before the issuer, Installations says by the cluster's name
	// how Bulkhead is installed, and Ready runs once all is.
	Front         bool
	Installations map[string]cluster.Installation
	Ready         func(context.Context) error
}

// RunOnStage sets a stage for the tests of a package, runs them and clears the
// stage. It returns the exit code for TestMain.
func RunOnStage(m *testing.M, stage *Stage, tokenLife time.Duration, names ...string) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	binaries, err := cluster.Build(ctx, os.Stderr)
	if err == nil {
		err = stage.set(ctx, cluster.Config{Binaries: binaries, TokenLife: tokenLife, Front: stage.Front}, names)
	}
	if err == nil && stage.Ready != nil {
		err = stage.Ready(ctx)
	}
	if stage.Env != nil {
		defer stage.Env.Stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "set the stage:", err)
		return 1
	}
	code := m.Run()
	select {
	case err := <-stage.Env.Failed():
		fmt.Fprintln(os.Stderr, "a component ended by itself:", err)
		code = 1
	default:
	}
	if code != 0 {
		fmt.Fprintln(os.Stderr, "logs of every component:", stage.Env.Logs())
	} else {
		stage.Env.Stop()
		_ = os.RemoveAll(stage.Env.Dir)
	}
	return code
}

func (s *Stage) set(ctx context.Context, cfg cluster.Config, names []string) (err error) {
	if s.Env, err = cluster.New(cfg); err != nil {
		return err
	}
	if err := s.Env.StartStorage(ctx); err != nil {
		return err
	}
	if _, err := s.Env.SetUpStorage(ctx); err != nil {
		return err
	}
	if s.Storage, err = NewStorageAdmin(s.Env.Storage); err != nil {
		return err
	}
	s.Admins = make([]*ClusterAdmin, len(names))
	group, ctx := errgroup.WithContext(ctx)
	for i, name := range names {
		group.Go(func() (err error) {
			s.Admins[i], err = s.addCluster(ctx, name)
			return err
		})
	}
	return group.Wait()
}

func (s *Stage) addCluster(ctx context.Context, name string) (*ClusterAdmin, error) {
	compute, err := s.Env.StartCompute(ctx, name)
	if err != nil {
		return nil, err
	}
	if _, err := s.Env.Register(ctx, compute); err != nil {
		return nil, err
	}
	if err := s.Env.InstallAs(ctx, compute, s.Installations[name]); err != nil {
		return nil, err
	}
	admin, err := NewClusterAdmin(ctx, compute)
	if err != nil {
		return nil, err
	}
	return admin, admin.MakeClasses(ctx)
}

// MakeClasses makes the classes that people have, without any secrets.
func (a *ClusterAdmin) MakeClasses(ctx context.Context) error {
	if _, err := a.MakeClass(ctx, CSIClass, tenancy.CSIDriver); err != nil {
		return err
	}
	if _, err := a.MakeClass(ctx, InTreeClass, tenancy.InTreePlugin); err != nil {
		return err
	}
	_, err := a.MakeSnapshotClass(ctx, SnapshotClass)
	return err
}

func init() {
	ctrllog.SetLogger(logr.Discard())
}
