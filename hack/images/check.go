package main

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// maxCompressed is how much a node may have to download.
const maxCompressed = 60 * megabyte

// check reads an image tar and returns all that is wrong with it: whether each
// platform's image is whole, small, not run as root, and has each of the
// binaries, static and for that platform, and the certificate authorities.
func check(output string, names []string) error {
	dir, err := os.MkdirTemp("", "bulkhead-check-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := unpack(output, dir); err != nil {
		return err
	}
	all, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return fmt.Errorf("read the layout: %w", err)
	}
	manifest, err := all.IndexManifest()
	if err != nil {
		return fmt.Errorf("read the layout: %w", err)
	}
	const imageAndBill = 2
	if len(manifest.Manifests) != imageAndBill || manifest.Manifests[1].ArtifactType != bomType {
		return errors.New("not an image and its bill of materials")
	}
	index, err := all.ImageIndex(manifest.Manifests[0].Digest)
	if err != nil {
		return fmt.Errorf("read the index: %w", err)
	}
	// Without the layers, which the library takes for gzip: see checkImage.
	if err := validate.Index(index, validate.Fast); err != nil {
		return fmt.Errorf("the index is not whole: %w", err)
	}
	if manifest, err = index.IndexManifest(); err != nil {
		return fmt.Errorf("read the index: %w", err)
	}
	if len(manifest.Manifests) == 0 {
		return errors.New("no platform")
	}
	var wrong []error
	for _, entry := range manifest.Manifests {
		img, err := index.Image(entry.Digest)
		if err == nil {
			err = checkImage(img, names)
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", entry.Platform.String(), err))
		}
	}
	return errors.Join(wrong...)
}

func checkImage(img v1.Image, names []string) error {
	var wrong []error
	size, err := compressedSize(img)
	if err != nil {
		return err
	}
	if size >= maxCompressed {
		wrong = append(wrong, fmt.Errorf("%d bytes compressed, want less than %.0f", size, maxCompressed))
	}
	configFile, err := img.ConfigFile()
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	if configFile.Config.User != user {
		wrong = append(wrong, fmt.Errorf("runs as %q, want %q", configFile.Config.User, user))
	}
	layers, err := img.Layers()
	if err != nil {
		return fmt.Errorf("read the layers: %w", err)
	}
	missing := []string{rootsFile}
	for _, name := range names {
		missing = append(missing, path.Join(binariesFolder, name))
	}
	for i, layer := range layers {
		packed, err := uncompressed(layer)
		if err != nil {
			return fmt.Errorf("read a layer: %w", err)
		}
		got, _, err := v1.SHA256(bytes.NewReader(packed))
		if err != nil {
			return fmt.Errorf("hash a layer: %w", err)
		}
		if got != configFile.RootFS.DiffIDs[i] {
			wrong = append(wrong, fmt.Errorf("layer %d is %s, not as the configuration has it", i, got))
		}
		err = eachFile(bytes.NewReader(packed), func(header *tar.Header, content []byte) error {
			missing = slices.DeleteFunc(missing, func(name string) bool { return name == header.Name })
			if header.Typeflag == tar.TypeReg && path.Dir(header.Name) == binariesFolder {
				if err := checkBinary(header, content, configFile.Architecture); err != nil {
					wrong = append(wrong, fmt.Errorf("%s: %w", header.Name, err))
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("read a layer: %w", err)
		}
	}
	if len(missing) > 0 {
		wrong = append(wrong, fmt.Errorf("missing: %s", strings.Join(missing, ", ")))
	}
	return errors.Join(wrong...)
}

func uncompressed(layer v1.Layer) ([]byte, error) {
	reader, err := layer.Uncompressed()
	if err != nil {
		return nil, fmt.Errorf("uncompress: %w", err)
	}
	content, err := io.ReadAll(reader)
	if err = errors.Join(err, reader.Close()); err != nil {
		return nil, fmt.Errorf("uncompress: %w", err)
	}
	return content, nil
}

// machines are ELF's names of the architectures that Go calls otherwise.
func machines() map[string]elf.Machine {
	return map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
}

func checkBinary(header *tar.Header, content []byte, architecture string) error {
	const executable = 0o555
	if header.Mode&executable != executable {
		return fmt.Errorf("mode %o: not everybody may run it", header.Mode)
	}
	binary, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return fmt.Errorf("not a program: %w", err)
	}
	if want, known := machines()[architecture]; !known || binary.Machine != want {
		return fmt.Errorf("for %v, in an image for %s", binary.Machine, architecture)
	}
	for _, program := range binary.Progs {
		if program.Type == elf.PT_INTERP {
			return errors.New("not static")
		}
	}
	return nil
}

// eachFile calls do with each entry of a tar.
func eachFile(packed io.Reader, do func(*tar.Header, []byte) error) error {
	reader := tar.NewReader(packed)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read a tar: %w", err)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			return fmt.Errorf("read %s: %w", header.Name, err)
		}
		if err := do(header, content); err != nil {
			return err
		}
	}
}

// unpack writes the files of a layout into a folder, each blob if it is what its
// name says.
func unpack(packed, dir string) error {
	input, err := os.Open(packed)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer func() { _ = input.Close() }()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer func() { _ = root.Close() }()
	return eachFile(input, func(header *tar.Header, content []byte) error {
		name := filepath.Clean(header.Name)
		if filepath.Dir(name) == "blobs/sha256" {
			got, _, err := v1.SHA256(bytes.NewReader(content))
			if err != nil {
				return fmt.Errorf("hash %s: %w", name, err)
			}
			if got.Hex != filepath.Base(name) {
				return fmt.Errorf("%s is %s", name, got)
			}
		}
		if header.Typeflag == tar.TypeDir {
			err = root.Mkdir(name, 0o755)
		} else {
			err = root.WriteFile(name, content, 0o600)
		}
		if err != nil {
			return fmt.Errorf("unpack %s: %w", name, err)
		}
		return nil
	})
}
