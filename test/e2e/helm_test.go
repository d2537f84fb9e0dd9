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

// chart is the folder of a chart of this checkout.
func (s *site) chart(name string) string { return filepath.Join(s.binaries.Root, "charts", name) }

// pack makes a package of a chart that says it is of that version, and returns its
// path.
func (s *site) pack(ctx context.Context, name, version string) (string, error) {
	_, err := s.run(ctx, s.binaries.Helm, "package", s.chart(name), "--version", version, "--destination", s.dir)
	return filepath.Join(s.dir, name+"-"+version+".tgz"), err
}

// helm installs or upgrades a release from a chart, a folder or a package, and
// waits until all of it is ready, two minutes at most. Later values are laid over
// earlier ones.
func (s *site) helm(ctx context.Context, release, chart, namespace string, values ...map[string]any) error {
	args := []string{
		"upgrade", "--install", release, chart,
		"--kubeconfig", s.compute.Kubeconfig, "--namespace", namespace, "--create-namespace", "--wait", "--timeout", "5m",
	}
	for i, some := range values {
		raw, err := yaml.Marshal(some)
		if err != nil {
			return fmt.Errorf("values of %s: %w", release, err)
		}
		file := filepath.Join(s.dir, fmt.Sprintf("%s-values-%d.yaml", release, i))
		if err := os.WriteFile(file, raw, 0o600); err != nil {
			return err
		}
		args = append(args, "--values", file)
	}
	_, err := s.run(ctx, s.binaries.Helm, args...)
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
