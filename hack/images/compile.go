package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// compile builds the binaries for a platform into a folder, by the one script
// that knows how, and returns their names, sorted.
func compile(ctx context.Context, cfg config, platform v1.Platform, folder string) ([]string, error) {
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	script, err := filepath.Abs(filepath.Join(cfg.root, "hack/build"))
	if err != nil {
		return nil, fmt.Errorf("root: %w", err)
	}
	cmd := exec.CommandContext(ctx, script, append([]string{folder}, cfg.packages...)...) //nolint:gosec // the packages are to be chosen
	cmd.Env = append(os.Environ(), "GOOS="+platform.OS, "GOARCH="+platform.Architecture, "GOWORK=off")
	if cfg.version != "" {
		cmd.Env = append(cmd.Env, "VERSION="+cfg.version)
	}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("build for %s: %w\n%s", platform.String(), err, said.Bytes())
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("read the binaries: %w", err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	slices.Sort(names)
	return names, nil
}
