package main

import (
	"bytes"
	"crypto/sha256"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

const root = "../.."

func TestTheSameSourceElsewhereGivesTheSameBytes(t *testing.T) {
	var first [sha256.Size]byte
	for i, source := range []string{root, copySource(t)} {
		output := filepath.Join(t.TempDir(), "image.tar")
		err := command(t.Context(), []string{"--root", source, "--output", output, "--platforms", "linux/amd64"}, t.Output())
		if err != nil {
			t.Fatal(err)
		}
		written, err := os.ReadFile(output)
		if err != nil {
			t.Fatal(err)
		}
		switch sum := sha256.Sum256(written); {
		case i == 0:
			first = sum
		case sum != first:
			t.Errorf("sha256 %x, and of a copy of the source %x", first, sum)
		}
	}
}

// copySource copies what git knows of the source to another folder.
func copySource(t *testing.T) string {
	t.Helper()
	target := t.TempDir()
	list, err := exec.CommandContext(t.Context(), "git", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard", "-z").Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		content, err := os.ReadFile(filepath.Join(root, name))
		if os.IsNotExist(err) {
			continue // deleted, but not yet for git
		}
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(target, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, info.Mode()); err != nil {
			t.Fatal(err)
		}
	}
	return target
}

func TestWhatTheCheckFinds(t *testing.T) {
	const program = "program"
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, program), ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	shell, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		names  []string
		change func(*v1.ConfigFile)
		arch   string // if it is not this machine's
		more   []byte // another binary
		want   string
	}{
		"all is well":                  {},
		"a binary is missing":          {names: []string{program, "other"}, want: "missing: bulkhead/other"},
		"it runs as root":              {change: func(c *v1.ConfigFile) { c.Config.User = "" }, want: `runs as ""`},
		"it runs as root by number":    {change: func(c *v1.ConfigFile) { c.Config.User = "0:0" }, want: `runs as "0:0"`},
		"it is for another machine":    {arch: "riscv64", want: "in an image for riscv64"},
		"it is too large":              {more: noise(t, maxCompressed), want: "want less than 60000000"},
		"a binary needs libraries":     {more: shell, want: "bulkhead/more: not static"},
		"a file is no program":         {more: []byte("#!/bin/sh\n"), want: "bulkhead/more: not a program"},
		"a layer is not what it seems": {change: func(c *v1.ConfigFile) { c.RootFS.DiffIDs[0].Hex = strings.Repeat("0", 64) }, want: "not as the configuration has it"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			packed := []string{program}
			if err := os.Link(filepath.Join(dir, program), filepath.Join(folder, program)); err != nil {
				t.Fatal(err)
			}
			if c.more != nil {
				packed = append(packed, "more")
				if err := os.WriteFile(filepath.Join(folder, "more"), c.more, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			platform := v1.Platform{OS: "linux", Architecture: runtime.GOARCH}
			if c.arch != "" {
				platform.Architecture = c.arch
			}
			cfg := config{name: "example.org/image:tag", output: filepath.Join(folder, "image.tar")}
			img, err := newImage(cfg, platform, folder, packed)
			if err != nil {
				t.Fatal(err)
			}
			if c.change != nil {
				configFile, err := img.ConfigFile()
				if err != nil {
					t.Fatal(err)
				}
				configFile = configFile.DeepCopy()
				c.change(configFile)
				if img, err = mutate.ConfigFile(img, configFile); err != nil {
					t.Fatal(err)
				}
			}
			if err := write(cfg, t.TempDir(), newIndex([]v1.Platform{platform}, []v1.Image{img}), []byte("{}")); err != nil {
				t.Fatal(err)
			}
			names := c.names
			if names == nil {
				names = []string{program}
			}
			err = check(cfg.output, names)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// noise does not compress.
func noise(t *testing.T, size int) []byte {
	t.Helper()
	random, err := os.Open("/dev/urandom")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = random.Close() }()
	content := make([]byte, size)
	if _, err := io.ReadFull(random, content); err != nil {
		t.Fatal(err)
	}
	return content
}

func TestADamagedBlobIsSeen(t *testing.T) {
	packed, err := pack([]file{
		{name: "blobs/", mode: 0o755},
		{name: "blobs/sha256/", mode: 0o755},
		{name: "blobs/sha256/" + strings.Repeat("0", 64), mode: 0o644, content: []byte("{}")},
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "image.tar")
	if err := os.WriteFile(path, packed, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := check(path, nil); err == nil || !strings.Contains(err.Error(), "blobs/sha256/") {
		t.Errorf("got %v", err)
	}
}

func TestTheRootsAreCertificates(t *testing.T) {
	if n := bytes.Count(roots(), []byte("BEGIN CERTIFICATE")); n < 100 {
		t.Errorf("%d certificate authorities", n)
	}
}
