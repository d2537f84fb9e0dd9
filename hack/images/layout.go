package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Annotations of an image in a layout that name it: the first is of the OCI image
// layout and holds the tag alone, the second is what containerd reads.
const (
	tagAnnotation  = "org.opencontainers.image.ref.name"
	nameAnnotation = "io.containerd.image.name"
)

// write writes the image with its bill of materials to the output, by way of a
// folder for temporary files, and the bill once more beside it.
func write(cfg config, folder string, index v1.ImageIndex, bom []byte) error {
	dir := filepath.Join(folder, "layout")
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return fmt.Errorf("make the layout: %w", err)
	}
	_, tag, _ := strings.Cut(cfg.name, ":")
	err = path.AppendIndex(index, layout.WithAnnotations(map[string]string{tagAnnotation: tag, nameAnnotation: cfg.name}))
	if err != nil {
		return fmt.Errorf("write the image: %w", err)
	}
	if err := appendArtifact(path, index, bom); err != nil {
		return fmt.Errorf("write the bill of materials: %w", err)
	}
	packed, err := packFolder(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(cfg.output), 0o750); err != nil {
		return fmt.Errorf("make the output's folder: %w", err)
	}
	if err := os.WriteFile(cfg.output, packed, 0o644); err != nil { //nolint:gosec // it is to be published
		return fmt.Errorf("write the image: %w", err)
	}
	if err := os.WriteFile(bomFile(cfg.output), bom, 0o644); err != nil { //nolint:gosec // it is to be published
		return fmt.Errorf("write the bill of materials: %w", err)
	}
	return nil
}

// appendArtifact adds an artifact that refers to the image, as the OCI image
// specification says under "Guidelines for Artifact Usage": a registry lists it
// among the referrers of the image.
func appendArtifact(path layout.Path, index v1.ImageIndex, content []byte) error {
	subject, err := partial.Descriptor(index)
	if err != nil {
		return fmt.Errorf("describe the image: %w", err)
	}
	blob := func(content []byte, mediaType types.MediaType) (v1.Descriptor, error) {
		hash, size, err := v1.SHA256(bytes.NewReader(content))
		if err != nil {
			return v1.Descriptor{}, fmt.Errorf("hash: %w", err)
		}
		if err := path.WriteBlob(hash, io.NopCloser(bytes.NewReader(content))); err != nil {
			return v1.Descriptor{}, fmt.Errorf("write: %w", err)
		}
		return v1.Descriptor{MediaType: mediaType, Digest: hash, Size: size}, nil
	}
	config, err := blob([]byte("{}"), "application/vnd.oci.empty.v1+json")
	if err != nil {
		return err
	}
	layer, err := blob(content, bomType)
	if err != nil {
		return err
	}
	manifest, err := json.Marshal(v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: bomType, //nolint:mnd // the only version
		Config: config, Layers: []v1.Descriptor{layer},
		Subject: &v1.Descriptor{MediaType: subject.MediaType, Digest: subject.Digest, Size: subject.Size},
	})
	if err != nil {
		return fmt.Errorf("encode the manifest: %w", err)
	}
	artifact, err := blob(manifest, types.OCIManifestSchema1)
	if err != nil {
		return err
	}
	artifact.ArtifactType = bomType
	if err := path.AppendDescriptor(artifact); err != nil {
		return fmt.Errorf("append: %w", err)
	}
	return nil
}

// packFolder packs what is in a folder, in the order of the names.
func packFolder(dir string) ([]byte, error) {
	var files []file
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err //nolint:wrapcheck // wrapped below
		}
		if entry.IsDir() {
			files = append(files, file{name: name + "/", mode: 0o755})
			return nil
		}
		content, err := os.ReadFile(path) //nolint:gosec // nobody else writes into this folder
		files = append(files, file{name: name, mode: 0o644, content: content})
		return err //nolint:wrapcheck // wrapped below
	})
	if err != nil {
		return nil, fmt.Errorf("pack the layout: %w", err)
	}
	return pack(files)
}
