package node

import (
	"bytes"
	"errors"
	"fmt"
	"os"
)

// checkKernel says which of what a node takes this kernel lacks. What is a module
// elsewhere need not be loaded yet: then its first use says more.
func checkKernel() error {
	var lacks []error
	filesystems, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return fmt.Errorf("read the kernel's file systems: %w", err)
	}
	modules := "/lib/modules"
	_, err = os.Stat(modules)
	if err != nil && !bytes.Contains(filesystems, []byte("\toverlay\n")) {
		lacks = append(lacks, errors.New("file system overlay (CONFIG_OVERLAY_FS)"))
	}
	for _, namespace := range []string{"pid", "mnt", "net", "uts", "ipc"} {
		if _, err := os.Stat("/proc/self/ns/" + namespace); err != nil {
			lacks = append(lacks, fmt.Errorf("namespaces of kind %s", namespace))
		}
	}
	if _, err := hierarchies(); err != nil {
		lacks = append(lacks, err)
	}
	if err := errors.Join(lacks...); err != nil {
		return fmt.Errorf("this machine cannot run a node, it lacks: %w", err)
	}
	return nil
}
