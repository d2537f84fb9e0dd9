package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

// helm installs or upgrades the chart of a release's name and waits until all of
// it is ready, two minutes at most.
func (s *site) helm(ctx context.Context, chart, namespace string, values map[string]any) error {
	raw, err := yaml.Marshal(values)
	if err != nil {
		return fmt.Errorf("values of %s: %w", chart, err)
	}
	file := filepath.Join(s.dir, chart+"-values.yaml")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		return err
	}
	_, err = s.run(ctx, s.binaries.Helm, "upgrade", "--install", chart, filepath.Join(s.binaries.Root, "charts", chart),
		"--kubeconfig", s.compute.Kubeconfig, "--namespace", namespace, "--create-namespace",
		"--values", file, "--wait", "--timeout", "2m")
	return err
}

// run runs a command to its end and returns its standard output.
func (s *site) run(ctx context.Context, path string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, path, args...)
	// Helm keeps caches in the home.
	cmd.Env = append(os.Environ(), "HOME="+s.dir)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", filepath.Base(path), strings.Join(args, " "), err, stderr.Bytes())
	}
	return stdout.Bytes(), nil
}
