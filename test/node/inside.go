package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// inside is the first process of the namespaces: it makes them fit for a node,
// runs the tests as its child, and waits for whatever loses its parent.
func inside() (code int, err error) {
	if err := makeMounts(); err != nil {
		return 1, fmt.Errorf("mount: %w", err)
	}
	if err := makeNetwork(); err != nil {
		return 1, fmt.Errorf("make the network: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return 1, fmt.Errorf("find this program: %w", err)
	}
	if err := os.Setenv(roleVariable, roleTests); err != nil {
		return 1, fmt.Errorf("set %s: %w", roleVariable, err)
	}
	child, err := os.StartProcess(self, os.Args, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		return 1, fmt.Errorf("start the tests: %w", err)
	}
	for {
		var status syscall.WaitStatus
		id, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 1, fmt.Errorf("wait for the tests: %w", err)
		case id == child.Pid && status.Signaled():
			return 1, fmt.Errorf("the tests ended by %v", status.Signal())
		case id == child.Pid:
			return status.ExitStatus(), nil
		}
	}
}

// makeMounts gives this mount namespace a /proc of its own, copies of /var and
// /run, and the folders of kubelet and containerd, which keep file systems of
// Pods in them and so cannot lie on an overlay.
func makeMounts() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	if err := syscall.Mount("proc", "/proc", "proc", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("/proc: %w", err)
	}
	for _, folder := range []string{"var", "work", "kubelet", "containerd"} {
		if err := os.Mkdir(scratch(folder), 0o755); err != nil {
			return fmt.Errorf("make a folder: %w", err)
		}
	}
	overlay := "lowerdir=/var,upperdir=" + scratch("var") + ",workdir=" + scratch("work")
	if err := syscall.Mount("overlay", "/var", "overlay", 0, overlay); err != nil {
		return fmt.Errorf("copy of /var (%s; TMPDIR must not be in /var): %w", overlay, err)
	}
	if err := syscall.Mount("tmpfs", "/run", "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("/run: %w", err)
	}
	for _, name := range []string{"kubelet", "containerd"} {
		folder := filepath.Join("/var/lib", name)
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return fmt.Errorf("make a folder: %w", err)
		}
		if err := syscall.Mount(scratch(name), folder, "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("%s: %w", folder, err)
		}
		// The kubelet wants what is mounted in it to be seen by containers.
		if err := syscall.Mount("", folder, "", syscall.MS_SHARED, ""); err != nil {
			return fmt.Errorf("share %s: %w", folder, err)
		}
	}
	return hideSettings()
}

// hideSettings lays copies over the machine-wide settings that a kubelet changes
// (setupKernelTunables in k8s.io/kubernetes pkg/kubelet/cm/container_manager_linux.go):
// they belong to no namespace and would stay changed.
func hideSettings() error {
	for _, name := range []string{
		"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops",
		"kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
	} {
		setting := filepath.Join("/proc/sys", name)
		value, err := os.ReadFile(setting)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", setting, err)
		}
		duplicate := scratch("sysctl-" + filepath.Base(name))
		if err := os.WriteFile(duplicate, value, 0o600); err != nil {
			return fmt.Errorf("copy %s: %w", setting, err)
		}
		if err := syscall.Mount(duplicate, setting, "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("hide %s: %w", setting, err)
		}
	}
	return nil
}

// makeNetwork makes the one network interface of the node, the end of a cable
// whose other end is in the same machine, so that it is up and leads nowhere.
func makeNetwork() error {
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		{"link", "add", "node0", "type", "veth", "peer", "name", "node1"},
		{"address", "add", Address + "/24", "dev", "node0"},
		{"link", "set", "node0", "up"},
		{"link", "set", "node1", "up"},
		{"route", "add", "default", "dev", "node0"},
	} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil { //nolint:noctx // it ends at once
			return fmt.Errorf("ip %v: %w: %s", args, err, out)
		}
	}
	for setting, value := range map[string]string{
		"ipv4/ip_forward": "1",
		// Without it the answer of a Pod to another on the same bridge, asked by way
		// of a Service, would not be translated back.
		"bridge/bridge-nf-call-iptables": "1",
	} {
		if err := os.WriteFile(filepath.Join("/proc/sys/net", setting), []byte(value), 0o644); err != nil {
			return fmt.Errorf("set %s (CONFIG_BRIDGE_NETFILTER, module br_netfilter): %w", setting, err)
		}
	}
	return nil
}
