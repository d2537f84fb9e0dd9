package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	modulePath = "github.com/bulkhead-dev/bulkhead"

	// heartbeat is how often a long build says that it still runs.
	heartbeat = 30 * time.Second
	// shownOutput is how many lines of a failed compiler the error carries.
	shownOutput = 20
)

// Build makes every program that an environment runs and tells out how far it
// is. Tools are kept in a cache outside the tree ($BULKHEAD_CACHE, else a
// folder of os.UserCacheDir) and built again only when their module, the Go
// version or, for the storage cluster, the source changes. Control plane
// programs found in $KUBEBUILDER_ASSETS are used as they are. Two processes may
// call it at once: one waits. The error of a failed build ends with the last
// lines of the compiler.
func Build(ctx context.Context, out io.Writer) (*Binaries, error) {
	return build(ctx, out, tools())
}

// BuildNode is Build with what a real node takes on top.
func BuildNode(ctx context.Context, out io.Writer) (*Binaries, error) {
	return build(ctx, out, append(tools(), nodeTools()...))
}

// BuildPeers is Build with what Bulkhead is compared with.
func BuildPeers(ctx context.Context, out io.Writer) (*Binaries, error) {
	return build(ctx, out, append(tools(), peerTools()...))
}

func build(ctx context.Context, out io.Writer, tools []tool) (*Binaries, error) {
	root, err := findRoot()
	if err != nil {
		return nil, err
	}
	cache, err := cacheFolder()
	if err != nil {
		return nil, err
	}
	unlock, err := lock(ctx, filepath.Join(cache, "lock"), out)
	if err != nil {
		return nil, err
	}
	defer unlock()

	b := &Binaries{Root: root}
	version, err := requiredVersion(filepath.Join(root, "test/tools/controlplane/go.mod"), "k8s.io/kubernetes")
	if err != nil {
		return nil, err
	}
	w := &builder{out: out, cache: cache, kubernetes: version, binaries: b, total: len(tools) + len(product(b)), began: time.Now()}
	for _, t := range tools {
		if err := w.tool(ctx, t); err != nil {
			return nil, err
		}
	}
	if b.SnapshotCRDs, err = w.snapshotCRDs(ctx); err != nil {
		return nil, err
	}
	if b.Kyverno != "" {
		if b.KyvernoManifests, err = w.kyvernoManifests(ctx); err != nil {
			return nil, err
		}
	}
	folder := filepath.Join(cache, "bulkhead", hash([]byte(root)))
	for _, name := range []string{"issuer", "sidecar", "webhook", "kubectl-bulkhead"} {
		target := filepath.Join(folder, name)
		w.count++
		if err := w.build(ctx, name, root, "./cmd/"+name, "", target); err != nil {
			return nil, err
		}
		*product(b)[name] = target
	}
	return b, nil
}

// findRoot walks up from the working directory to the go.mod of this module.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the checkout: %w", err)
	}
	for {
		raw, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if first, _, _ := strings.Cut(string(raw), "\n"); err == nil && strings.TrimSpace(first) == "module "+modulePath {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("find the checkout: no go.mod of %s above the working directory", modulePath)
		}
		dir = parent
	}
}

func cacheFolder() (string, error) {
	dir := os.Getenv("BULKHEAD_CACHE")
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find the cache folder (set BULKHEAD_CACHE to choose one): %w", err)
		}
		dir = filepath.Join(user, "bulkhead")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("cache folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the cache folder: %w", err)
	}
	return dir, nil
}

// lock takes the file lock at path, waiting for whoever has it. The kernel
// frees it when the holder dies.
func lock(ctx context.Context, path string, out io.Writer) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the cache: %w", err)
	}
	told := false
	err = Poll(ctx, 0, func(context.Context) error {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err != nil && !told {
			told = true
			fmt.Fprintln(out, "waiting for another build to end")
		}
		return err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
	}
	// Closing frees the lock; an error here has nobody to act on it.
	return func() { _ = file.Close() }, nil
}

// requiredVersion is the version of a module that a go.mod requires.
func requiredVersion(gomod, module string) (string, error) {
	raw, err := os.ReadFile(gomod)
	if err != nil {
		return "", fmt.Errorf("read version of %s: %w", module, err)
	}
	for line := range strings.Lines(string(raw)) {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(fields) >= 2 && fields[0] == module {
			return fields[1], nil
		}
	}
	return "", fmt.Errorf("%s does not require %s", gomod, module)
}

// versionFlags stamp a Kubernetes program, as an unstamped one calls itself
// v0.0.0-master, which Helm's kubeVersion check refuses.
func versionFlags(version string) string {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	const variable = "-X k8s.io/component-base/version."
	return variable + "gitVersion=" + version + " " + variable + "gitMajor=" + parts[0] + " " + variable + "gitMinor=" + parts[1]
}

type builder struct {
	out          io.Writer
	cache        string
	kubernetes   string // version of the control plane, e.g. "v1.37.2"
	binaries     *Binaries
	count, total int
	began        time.Time
}

func (w *builder) say(what, name, rest string) {
	fmt.Fprintf(w.out, "%s %s (%d of %d)%s\n", what, name, w.count, w.total, rest)
}

func (w *builder) tool(ctx context.Context, t tool) error {
	w.count++
	if assets := os.Getenv("KUBEBUILDER_ASSETS"); assets != "" && t.asset {
		path := filepath.Join(assets, t.name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			w.say("using", t.name, " from KUBEBUILDER_ASSETS")
			*t.path(w.binaries) = path
			return nil
		}
	}
	folder, err := w.folder(t.module)
	if err != nil {
		return err
	}
	target := filepath.Join(folder, t.name)
	*t.path(w.binaries) = target
	if _, err := os.Stat(target); err == nil {
		w.say("have", t.name, "")
		return nil
	}
	flags := ""
	if strings.HasPrefix(t.pkg, "k8s.io/kubernetes/") {
		flags = versionFlags(w.kubernetes)
	}
	// A build that is cut short must not leave a file that looks finished.
	unfinished := target + ".unfinished"
	if err := w.build(ctx, t.name, filepath.Join(w.binaries.Root, t.module), t.pkg, flags, unfinished); err != nil {
		return err
	}
	if err := os.Rename(unfinished, target); err != nil {
		return fmt.Errorf("keep %s: %w", t.name, err)
	}
	return nil
}

// folder is where the programs of a module are kept: it is named by all that
// decides what they are.
func (w *builder) folder(module string) (string, error) {
	parts := [][]byte{[]byte(runtime.Version()), []byte(runtime.GOARCH), []byte(w.kubernetes)}
	err := filepath.WalkDir(filepath.Join(w.binaries.Root, module), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if name := entry.Name(); name == "go.mod" || name == "go.sum" || strings.HasSuffix(name, ".go") {
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			parts = append(parts, []byte(name), raw)
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("hash module %s: %w", module, err)
	}
	return filepath.Join(w.cache, "tools", filepath.Base(module)+"-"+hash(parts...)), nil
}

func hash(parts ...[]byte) string {
	h := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(h, "%d\n", len(part))
		h.Write(part)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

func (w *builder) build(ctx context.Context, name, dir, pkg, ldflags, target string) error {
	w.say("building", name, "")
	began := time.Now()
	stop := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(heartbeat)
		defer ticker.Stop()
		for {
			select {
			case <-stop:
				return
			case <-ticker.C:
				w.say("building", name, fmt.Sprintf(" … %v", time.Since(began).Round(time.Second)))
			}
		}
	}()
	// The version control stamp needs a commit, and changes the file with each.
	_, err := runGo(ctx, dir, "build", "-buildvcs=false", "-ldflags", ldflags, "-o", target, pkg)
	close(stop)
	<-ended
	if err != nil {
		return fmt.Errorf("build %s: %w", name, err)
	}
	w.say("built", name, fmt.Sprintf(" … %v, %v in all", time.Since(began).Round(time.Second), time.Since(w.began).Round(time.Second)))
	return nil
}

// snapshotCRDs copies the CRDs out of the module that the snapshotter was built
// with.
func (w *builder) snapshotCRDs(ctx context.Context) (string, error) {
	const module = "test/tools/snapshotter"
	folder, err := w.folder(module)
	if err != nil {
		return "", err
	}
	target := filepath.Join(folder, "snapshot-crds")
	if _, err := os.Stat(target); err == nil {
		return target, nil
	}
	dir, err := w.source(ctx, module, "github.com/kubernetes-csi/external-snapshotter/client/v8")
	if err != nil {
		return "", fmt.Errorf("find the snapshot CRDs: %w", err)
	}
	unfinished := target + ".unfinished"
	if err := os.MkdirAll(unfinished, 0o755); err != nil {
		return "", fmt.Errorf("copy the snapshot CRDs: %w", err)
	}
	// Those of group snapshots too: the snapshot-controller waits for them.
	files, err := filepath.Glob(filepath.Join(dir, "config/crd/*snapshot.storage.k8s.io_*.yaml"))
	if err != nil || len(files) == 0 {
		return "", fmt.Errorf("find the snapshot CRDs: none in the module (%w)", err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(filepath.Join(unfinished, filepath.Base(file)), raw, 0o644)
		}
		if err != nil {
			return "", fmt.Errorf("copy the snapshot CRDs: %w", err)
		}
	}
	if err := os.Rename(unfinished, target); err != nil {
		return "", fmt.Errorf("copy the snapshot CRDs: %w", err)
	}
	return target, nil
}

// kyvernoManifests copies what installs Kyverno out of the module that it was built
// from.
func (w *builder) kyvernoManifests(ctx context.Context) (string, error) {
	folder, err := w.folder(kyvernoModule)
	if err != nil {
		return "", err
	}
	target := filepath.Join(folder, "kyverno.yaml")
	if _, err := os.Stat(target); err == nil {
		return target, nil
	}
	dir, err := w.source(ctx, kyvernoModule, "github.com/kyverno/kyverno")
	if err != nil {
		return "", fmt.Errorf("find Kyverno's manifests: %w", err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "config/install-latest-testing.yaml"))
	if err != nil {
		return "", fmt.Errorf("copy Kyverno's manifests: %w", err)
	}
	unfinished := target + ".unfinished"
	if err := errors.Join(os.WriteFile(unfinished, raw, 0o644), os.Rename(unfinished, target)); err != nil {
		return "", fmt.Errorf("copy Kyverno's manifests: %w", err)
	}
	return target, nil
}

// source is the folder with the source of a module that one of ours requires.
func (w *builder) source(ctx context.Context, by, module string) (string, error) {
	dir, err := runGo(ctx, filepath.Join(w.binaries.Root, by), "list", "-m", "-f", "{{.Dir}}", module)
	return strings.TrimSpace(string(dir)), err
}

// runGo runs the go command and returns its standard output. Its compilers die
// with it, and it dies with this process: see guard.
func runGo(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = ownGroup()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = stopGrace
	if err := spawn(cmd); err != nil {
		return nil, fmt.Errorf("start go: %w", err)
	}
	release, err := guard(cmd.Process.Pid)
	if err != nil {
		_ = cmd.Cancel()
		return nil, errors.Join(err, cmd.Wait())
	}
	defer release()
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("go %s: %w", args[0], context.Cause(ctx))
		}
		return nil, fmt.Errorf("go %s: %w\n%s", args[0], err, lastLines(stderr.Bytes(), shownOutput))
	}
	return stdout.Bytes(), nil
}

// guard kills the process group once this process is gone, however it went: the
// go command is killed by the kernel then, but its compilers would go on. The
// guard is a shell that reads from a pipe which only this process holds open.
func guard(group int) (release func(), err error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("guard the build: %w", err)
	}
	cmd := exec.Command("/bin/sh", "-c", fmt.Sprintf("read _; kill -KILL -%d", group)) //nolint:noctx // it must outlive all
	cmd.Stdin = read
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = cmd.Start()
	if closeErr := read.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("guard the build: %w", err), write.Close())
	}
	return func() {
		// Killed before its pipe is closed, so it never acts on a group whose
		// number somebody else may have by now.
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = write.Close()
	}, nil
}
