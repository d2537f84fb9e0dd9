package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// start is how long each binary takes until it says its version and each server
// until it is ready: cold, when none of the binary is in the page cache, and warm. The
// binaries are as released, and so is the image.
func start(ctx context.Context, s *session) ([]row, error) {
	binaries, err := cluster.Build(ctx, s.progress)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "bulkhead-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	fmt.Fprintln(s.progress, "start: building the binaries and the image as they are released")
	tar := filepath.Join(dir, "image.tar")
	for _, build := range [][]string{
		{"hack/build", dir},
		{"go", "-C", "hack/images", "run", ".", "--root", "../..", "--output", tar, "--platforms", "linux/" + runtime.GOARCH},
	} {
		cmd := exec.CommandContext(ctx, build[0], build[1:]...)
		cmd.Dir = s.root
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%v: %w: %s", build, err, out)
		}
	}
	released := *binaries
	released.Issuer, released.Sidecar, released.Webhook = filepath.Join(dir, "issuer"), filepath.Join(dir, "sidecar"), filepath.Join(dir, "webhook")
	released.KubectlBulkhead = filepath.Join(dir, "kubectl-bulkhead")
	rows, err := versions(ctx, s, dir, &released)
	if err != nil {
		return nil, err
	}
	ready, err := onSiteOf(ctx, s, &released, func(ctx context.Context, env *cluster.Environment) ([]row, error) {
		return servers(ctx, s, env)
	})
	if err != nil {
		return nil, err
	}
	image, err := imageSize(tar, &released)
	if err != nil {
		return nil, err
	}
	return append(append(rows, ready...), image), nil
}

// versions are the product's binaries, each against one of Kubernetes' CSI sidecars,
// which does the same: it parses its flags and says its version.
func versions(ctx context.Context, s *session, dir string, b *cluster.Binaries) ([]row, error) {
	// A copy, as who else runs a file keeps it in the page cache.
	peer := filepath.Join(dir, "csi-provisioner")
	if err := copyProgram(b.Provisioner, peer); err != nil {
		return nil, err
	}
	programs := []string{b.Issuer, b.Sidecar, b.Webhook, b.KubectlBulkhead, peer}
	cold, warm := map[string][]float64{}, map[string][]float64{}
	for range s.rounds {
		for _, program := range programs {
			if err := leaveCache(program); err != nil {
				return nil, err
			}
			took, read, err := version(ctx, program)
			if err != nil {
				return nil, err
			}
			if read == 0 {
				return nil, fmt.Errorf("%s read nothing from the disk: the page cache was not left", program)
			}
			cold[program] = append(cold[program], milli(took))
			if took, _, err = version(ctx, program); err != nil {
				return nil, err
			}
			warm[program] = append(warm[program], milli(took))
		}
	}
	var rows []row
	for _, program := range programs[:len(programs)-1] {
		for _, how := range []struct {
			name string
			took map[string][]float64
		}{{"cold", cold}, {"warm", warm}} {
			rows = append(rows, row{
				what: "start: " + filepath.Base(program) + " --version, " + how.name, against: "csi-provisioner --version, " + how.name,
				unit: "ms", is: how.took[program], other: how.took[peer],
			})
		}
	}
	return rows, nil
}

// version runs a program until it has said its version. read is how often it had to
// wait for the disk.
func version(ctx context.Context, program string) (took time.Duration, read int64, err error) {
	cmd := exec.CommandContext(ctx, program, "--version")
	began := time.Now()
	out, err := cmd.CombinedOutput()
	took = time.Since(began)
	if err != nil {
		return 0, 0, fmt.Errorf("%s --version: %w: %s", program, err, out)
	}
	used, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0, 0, fmt.Errorf("%s: the system does not say what it used", program)
	}
	return took, used.Majflt, nil
}

// servers are those of the product on a small cluster: until each is ready, cold
// against warm.
func servers(ctx context.Context, s *session, env *cluster.Environment) ([]row, error) {
	c, err := env.StartCompute(ctx, "k14c1")
	if err != nil {
		return nil, err
	}
	if _, err := env.Register(ctx, c); err != nil {
		return nil, err
	}
	if err := env.InstallAs(ctx, c, cluster.Installation{Values: quietLog}); err != nil {
		return nil, err
	}
	var rows []row
	for _, server := range []struct {
		name    string
		process *cluster.Process
	}{{"issuer", env.Storage.Issuer}, {"sidecar", c.Sidecar}, {"webhook", c.Webhook}} {
		r := row{what: "start: " + server.name + " ready, cold", against: "the same, warm", unit: "ms"}
		for range s.rounds {
			program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", server.process.PID()))
			if err != nil {
				return nil, fmt.Errorf("the program of %s: %w", server.name, err)
			}
			server.process.Stop()
			if err := leaveCache(program); err != nil {
				return nil, err
			}
			for _, times := range []*[]float64{&r.is, &r.other} {
				server.process.Stop()
				began := time.Now()
				if err := server.process.Start(ctx); err != nil {
					return nil, err
				}
				*times = append(*times, milli(time.Since(began)))
			}
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// imageSize is what a node downloads, against what the binaries in the image are.
func imageSize(tar string, b *cluster.Binaries) (row, error) {
	packed, err := megabytes(tar)
	if err != nil {
		return row{}, err
	}
	unpacked, err := megabytes(b.Issuer, b.Sidecar, b.Webhook, b.KubectlBulkhead)
	return row{
		what: "image for one platform, compressed, with its bill of materials", against: "its four binaries", unit: "MB",
		is: []float64{packed}, other: []float64{unpacked},
	}, err
}

// megabytes is the size of files together, in millions of bytes.
func megabytes(paths ...string) (float64, error) {
	const megabyte = 1e6
	var sum float64
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return 0, fmt.Errorf("size: %w", err)
		}
		sum += float64(info.Size())
	}
	return sum / megabyte, nil
}

// leaveCache has the kernel forget what it holds of a file that nobody runs.
func leaveCache(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("leave the page cache: %w", err)
	}
	defer func() { _ = file.Close() }()
	// What is not yet on the disk stays.
	if err := errors.Join(file.Sync(), unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED)); err != nil {
		return fmt.Errorf("%s: leave the page cache: %w", path, err)
	}
	return nil
}

func copyProgram(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("copy a program: %w", err)
	}
	file, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o700)
	if err != nil {
		return fmt.Errorf("copy a program: %w", err)
	}
	if _, err := io.Copy(file, bytes.NewReader(content)); err != nil {
		return errors.Join(fmt.Errorf("copy a program: %w", err), file.Close())
	}
	return file.Close()
}
