package cluster

import (
	"os"
	"os/exec"
	"syscall"
)

// seeHostname makes the command see a hostname of its own, as each Pod does: by
// their hostnames the CSI sidecars tell the replicas of a leader election apart.
// Whoever is not root needs a user namespace for that.
func seeHostname(cmd *exec.Cmd, hostname string) {
	// The kernel gives a new name to what runs already, so a shell goes before.
	cmd.Args = append([]string{"/bin/sh", "-c", `hostname "$0" && exec "$@"`, hostname, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
	cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUTS
	if user := os.Geteuid(); user != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: user, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
}
