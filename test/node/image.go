package node

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
)

// Image is a container image to make from Go packages of this module.
type Image struct {
	// Name is repository and tag; Packages are main packages, as go build takes
	// them, whose binaries end in /bulkhead/ of the image.
	Name     string
	Packages string
	// Entrypoint, a path in the image, runs by default.
	Entrypoint string
	// Version is what the binaries say; the chart's appVersion if empty.
	Version string
}

// Build makes an image for this machine's architecture and imports it.
func (n *Node) Build(ctx context.Context, image Image) error {
	tar := filepath.Join(n.dir, filepath.Base(image.Name)+".tar")
	cmd := exec.CommandContext(ctx, n.binaries.Images, "--root="+n.binaries.Root,
		"--platforms=linux/"+runtime.GOARCH, "--output="+tar,
		"--name="+image.Name, "--packages="+image.Packages, "--entrypoint="+image.Entrypoint, "--version="+image.Version)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make image %s: %w: %s", image.Name, err, out)
	}
	return n.Import(ctx, tar)
}

// importPause brings what holds the namespaces of every Pod.
func (n *Node) importPause(ctx context.Context) error {
	return n.Build(ctx, Image{Name: PauseImage, Packages: "./test/node/pause", Entrypoint: "/bulkhead/pause"})
}
