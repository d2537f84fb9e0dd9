package creation

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// Stage is where contenders are started.
type Stage struct {
	env      *cluster.Environment
	binaries *cluster.Binaries
	minimal  string // path of the minimal webhook
}

// NewStage starts a storage cluster, for those who ask it. Clear ends everything.
func NewStage(ctx context.Context, binaries *cluster.Binaries, progress io.Writer) (*Stage, error) {
	env, err := cluster.New(cluster.Config{Binaries: binaries, Out: progress})
	if err != nil {
		return nil, err
	}
	s := &Stage{env: env, binaries: binaries, minimal: filepath.Join(env.Dir, "minimal-webhook")}
	if err := s.set(ctx); err != nil {
		s.Clear()
		return nil, err
	}
	return s, nil
}

func (s *Stage) set(ctx context.Context) error {
	build := exec.CommandContext(ctx, "go", "build", "-o", s.minimal, "./test/bench/creation/minimal")
	build.Dir = s.binaries.Root
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the minimal webhook: %w: %s", err, out)
	}
	if err := s.env.StartStorage(ctx); err != nil {
		return err
	}
	_, err := s.env.SetUpStorage(ctx)
	return err
}

// Clear ends everything.
func (s *Stage) Clear() { s.env.Stop() }

// Failed delivers an error if anything ends that nobody asked to end.
func (s *Stage) Failed() <-chan error { return s.env.Failed() }

// Dir is the run folder.
func (s *Stage) Dir() string { return s.env.Dir }
