package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
)

// packages says for each of Debian's packages which file shows that it is there.
func packages() map[string]string {
	return map[string]string{
		"containerd":                  "/usr/bin/containerd",
		"runc":                        "/usr/sbin/runc",
		"containernetworking-plugins": cniPlugins + "/bridge",
		"nftables":                    "/usr/sbin/nft", // which kube-proxy calls
		"iproute2":                    "/usr/sbin/ip",
	}
}

// installPackages installs those that are missing. Their services do not start.
func installPackages(ctx context.Context) error {
	var missing []string
	for name, file := range packages() {
		if _, err := os.Stat(file); err != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	fmt.Fprintln(os.Stderr, "node: installing", strings.Join(missing, ", "))
	allow, err := forbidServices()
	if err != nil {
		return err
	}
	defer allow()
	for _, args := range [][]string{
		{"update"},
		append([]string{"install", "--yes", "--no-install-recommends"}, missing...),
	} {
		cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-o", "Acquire::Retries=5"}, args...)...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &said, &said
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("apt-get %s: %w\n%s", args[0], err, said.Bytes())
		}
	}
	return nil
}

// forbidServices keeps packages from starting their services, in Debian's way (the
// policy layer of invoke-rc.d), unless the machine has a policy of its own.
func forbidServices() (allow func(), err error) {
	const policy = "/usr/sbin/policy-rc.d"
	const forbidden = "#!/bin/sh\nexit 101\n"
	file, err := os.OpenFile(policy, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("forbid services: %w", err)
	}
	_, err = file.WriteString(forbidden)
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("forbid services: %w", err)
	}
	return func() { _ = os.Remove(policy) }, nil
}
