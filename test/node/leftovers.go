package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// cgroup is where the kubelet makes those of its Pods, in every hierarchy.
const cgroup = "bulkhead-node"

// hierarchies are the mount points of the cgroup file systems: one of version 2,
// or one for each controller of version 1.
func hierarchies() ([]string, error) {
	const root = "/sys/fs/cgroup"
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err == nil {
		return []string{root}, nil
	}
	found, err := filepath.Glob(filepath.Join(root, "*/cgroup.procs"))
	if err != nil {
		return nil, fmt.Errorf("look for cgroups: %w", err)
	}
	if len(found) == 0 {
		return nil, errors.New("no cgroups are mounted below " + root)
	}
	for i, file := range found {
		found[i] = filepath.Dir(file)
	}
	return found, nil
}

// makeCgroups makes the cgroup in every hierarchy, as the kubelet wants.
func makeCgroups() error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	for _, hierarchy := range all {
		if err := os.Mkdir(filepath.Join(hierarchy, cgroup), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make a cgroup: %w", err)
		}
	}
	return nil
}

// removeLeftovers removes what a run leaves when its processes have gone. The
// caller has the machine for itself.
func removeLeftovers() error {
	var failures []error
	all, err := hierarchies()
	if err != nil {
		failures = append(failures, err)
	}
	for _, hierarchy := range all {
		failures = append(failures, removeCgroup(filepath.Join(hierarchy, cgroup)))
	}
	folders, err := filepath.Glob(filepath.Join(os.TempDir(), scratchPrefix+"*"))
	failures = append(failures, err)
	for _, folder := range folders {
		failures = append(failures, os.RemoveAll(folder))
	}
	return errors.Join(failures...)
}

// removeCgroup removes a cgroup and those in it, which must be empty.
func removeCgroup(path string) error {
	var folders []string
	err := filepath.WalkDir(path, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && entry.IsDir() {
			folders = append(folders, path)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("list cgroups: %w", err)
	}
	slices.Reverse(folders)
	for _, folder := range folders {
		if err := os.Remove(folder); err != nil {
			return fmt.Errorf("remove a cgroup: %w", err)
		}
	}
	return nil
}
