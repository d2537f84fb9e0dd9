package main

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/compression"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

const (
	// user is given by number, since Kubernetes checks runAsNonRoot by number.
	user = "65532:65532"
	// binariesFolder is where the charts look for the binaries.
	binariesFolder = "bulkhead"
	rootsFile      = "etc/ssl/certs/ca-certificates.crt"
	// zstdLevel is that of the zstd command. The binaries have much in common, and
	// gzip, which looks back 32 KiB, does not see it.
	zstdLevel = 19
)

// epoch is the time of all that has one.
func epoch() time.Time { return time.Unix(0, 0).UTC() }

// newImage puts the binaries of a folder into an image of one layer.
func newImage(cfg config, platform v1.Platform, folder string, names []string) (v1.Image, error) {
	files := []file{
		{name: "etc/", mode: 0o755},
		{name: "etc/ssl/", mode: 0o755},
		{name: "etc/ssl/certs/", mode: 0o755},
		{name: rootsFile, mode: 0o644, content: roots()},
		{name: binariesFolder + "/", mode: 0o755},
	}
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return nil, fmt.Errorf("read a binary: %w", err)
		}
		files = append(files, file{name: path.Join(binariesFolder, name), mode: 0o755, content: content})
	}
	packed, err := pack(files)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(
		func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed)), nil },
		tarball.WithCompression(compression.ZStd), tarball.WithCompressionLevel(zstdLevel),
		tarball.WithMediaType(types.OCILayerZStd), tarball.WithCompressedCaching,
	)
	if err != nil {
		return nil, fmt.Errorf("make the layer: %w", err)
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.Append(base, mutate.Addendum{
		Layer: layer, MediaType: types.OCILayerZStd,
		History: v1.History{Created: v1.Time{Time: epoch()}, CreatedBy: "hack/images"},
	})
	if err != nil {
		return nil, fmt.Errorf("append the layer: %w", err)
	}
	configFile, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	configFile = configFile.DeepCopy()
	configFile.OS, configFile.Architecture, configFile.Variant = platform.OS, platform.Architecture, platform.Variant
	configFile.Created = v1.Time{Time: epoch()}
	configFile.Config.User = user
	if cfg.entrypoint != "" {
		configFile.Config.Entrypoint = []string{cfg.entrypoint}
	}
	if img, err = mutate.ConfigFile(img, configFile); err != nil {
		return nil, fmt.Errorf("write the configuration: %w", err)
	}
	return img, nil
}

// newIndex is one image for all platforms.
func newIndex(platforms []v1.Platform, images []v1.Image) v1.ImageIndex {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for i, img := range images {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &platforms[i]}})
	}
	return index
}

// compressedSize is what a node downloads, in bytes.
func compressedSize(img v1.Image) (int64, error) {
	manifest, err := img.Manifest()
	if err != nil {
		return 0, fmt.Errorf("read the manifest: %w", err)
	}
	size := manifest.Config.Size
	for _, layer := range manifest.Layers {
		size += layer.Size
	}
	return size, nil
}

// roots are the certificate authorities of Mozilla, in PEM: an issuer with a
// public certificate is verified by the system's roots.
func roots() []byte {
	var text bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil { // a PEM file cannot say them
			text.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}))
		}
	}
	return text.Bytes()
}

// file is one of a tar; a name with a slash at its end is a folder's.
type file struct {
	name    string
	mode    int64
	content []byte
}

// pack makes a tar that is the same wherever it is made.
func pack(files []file) ([]byte, error) {
	var packed bytes.Buffer
	writer := tar.NewWriter(&packed)
	for _, f := range files {
		header := &tar.Header{
			Name: f.name, Mode: f.mode, Size: int64(len(f.content)),
			Typeflag: tar.TypeReg, ModTime: epoch(), Format: tar.FormatUSTAR,
		}
		if f.name[len(f.name)-1] == '/' {
			header.Typeflag = tar.TypeDir
		}
		if err := writer.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.name, err)
		}
		if _, err := writer.Write(f.content); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.name, err)
		}
	}
	if err := writer.Close(); err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	return packed.Bytes(), nil
}
