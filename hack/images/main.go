// Command images builds the container image without a container engine: a tar
// with an OCI image layout, which registries, container engines and nodes take.
//
//	images --root ../.. --output bin/images/bulkhead.tar
//
// The same source gives the same bytes, on whatever machine: times, owners and
// order are fixed, and the certificate authorities come from a Go module. With
// the image comes its bill of materials (SPDX), as a file beside the tar and, in
// the tar, as an artifact that refers to the image. What was written is read
// again and checked before the command succeeds: see check.
//
// It is a module of its own, as the product needs no code for images and its
// dependencies should not be the product's.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := command(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to clean up
	}
}

// config says what image to make.
type config struct {
	root       string        // of the source, with hack/build
	packages   []string      // of the binaries, as hack/build takes them
	name       string        // of the image: repository and tag
	version    string        // that the binaries say; the chart's if empty
	entrypoint string        // path in the image; none if empty
	platforms  []v1.Platform // at least one
	output     string        // the tar
}

func command(ctx context.Context, args []string, out io.Writer) error {
	var cfg config
	flags := flag.NewFlagSet("images", flag.ContinueOnError)
	flags.StringVar(&cfg.root, "root", ".", "root `folder` of the source")
	packages := flags.String("packages", "./cmd/...", "`packages` of the binaries, separated by commas")
	flags.StringVar(&cfg.name, "name", "ghcr.io/bulkhead-dev/bulkhead:dev", "`repository:tag` of the image")
	flags.StringVar(&cfg.version, "version", "", "version that the binaries say; the chart's appVersion if empty")
	flags.StringVar(&cfg.entrypoint, "entrypoint", "", "`path` in the image of what runs by default")
	platforms := flags.String("platforms", "linux/amd64,linux/arm64", "`platforms`, separated by commas")
	flags.StringVar(&cfg.output, "output", "bin/images/bulkhead.tar", "`file` to write, relative to the working directory")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("flags: %w", err)
	}
	cfg.packages = strings.Split(*packages, ",")
	for text := range strings.SplitSeq(*platforms, ",") {
		platform, err := v1.ParsePlatform(text)
		if err != nil {
			return fmt.Errorf("--platforms: %w", err)
		}
		cfg.platforms = append(cfg.platforms, *platform)
	}
	built, err := build(ctx, cfg)
	if err != nil {
		return err
	}
	if err := check(cfg.output, built.names); err != nil {
		return fmt.Errorf("check %s: %w", cfg.output, err)
	}
	fmt.Fprintf(out, "%s\n  %s@%s\n", cfg.output, cfg.name, built.digest)
	for i, platform := range cfg.platforms {
		fmt.Fprintf(out, "  %s: %.1f MB compressed\n", platform.String(), float64(built.sizes[i])/megabyte)
	}
	fmt.Fprintf(out, "  bill of materials: %s\n", bomFile(cfg.output))
	return nil
}

const megabyte = 1e6

// result is what was built.
type result struct {
	names  []string // of the binaries
	digest v1.Hash  // of the image index
	sizes  []int64  // compressed, in bytes, of each platform
}

// build makes the image and writes it with its bill of materials.
func build(ctx context.Context, cfg config) (*result, error) {
	folder, err := os.MkdirTemp("", "bulkhead-images-")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(folder) }()

	built := &result{}
	var images []v1.Image
	var binaries []string
	for i, platform := range cfg.platforms {
		target := filepath.Join(folder, platform.OS+"-"+platform.Architecture)
		names, err := compile(ctx, cfg, platform, target)
		if err != nil {
			return nil, err
		}
		built.names = names
		img, err := newImage(cfg, platform, target, names)
		if err != nil {
			return nil, fmt.Errorf("image for %s: %w", platform.String(), err)
		}
		images = append(images, img)
		size, err := compressedSize(img)
		if err != nil {
			return nil, fmt.Errorf("image for %s: %w", cfg.platforms[i].String(), err)
		}
		built.sizes = append(built.sizes, size)
		for _, name := range names {
			binaries = append(binaries, filepath.Join(target, name))
		}
	}
	index := newIndex(cfg.platforms, images)
	if built.digest, err = index.Digest(); err != nil {
		return nil, fmt.Errorf("digest of the image: %w", err)
	}
	bom, err := billOfMaterials(cfg.name, built.digest, binaries)
	if err != nil {
		return nil, err
	}
	if err := write(cfg, folder, index, bom); err != nil {
		return nil, err
	}
	return built, nil
}
