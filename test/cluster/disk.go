package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// Disk is a small file system of its own, in memory, that can be filled. It lies in
// a mount namespace, so that it takes no root and leaves nothing on the machine;
// what is to see it has to be started in there.
type Disk struct {
	holder *Process
	dir    string // where it is mounted, in there
}

// filler is what takes all the room of a full disk.
const filler = "filler"

// startDisk makes a disk of that many bytes. A process keeps it until the
// environment stops.
func (e *Environment) startDisk(ctx context.Context, name string, size int64) (*Disk, error) {
	dir, err := makeFolder(filepath.Join(e.Dir, name))
	if err != nil {
		return nil, err
	}
	d := &Disk{dir: string(dir)}
	args := append(ownRoot("--user", "--map-root-user"), "--mount", "/bin/sh", "-c",
		`mount -t tmpfs -o "size=$1,mode=0700" tmpfs "$0" && exec sleep infinity`, d.dir, strconv.FormatInt(size, 10))
	d.holder, err = e.StartProgram(ctx, Program{Name: name, Path: "unshare", Args: args, Abrupt: true})
	if err != nil {
		return nil, err
	}
	err = Poll(ctx, readyTimeout, func(context.Context) error {
		var is syscall.Statfs_t
		if err := syscall.Statfs(d.Path(""), &is); err != nil {
			return fmt.Errorf("look at the disk: %w", err)
		}
		if is.Type != tmpfsMagic {
			return errors.New("it is not mounted yet")
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("wait for %s: %w; its log ends:\n%s", name, err, d.holder.LastLog())
	}
	return d, nil
}

// tmpfsMagic is TMPFS_MAGIC of linux/magic.h.
const tmpfsMagic = 0x01021994

// ownRoot are the options that whoever is not root needs to become it in namespaces
// of his own.
func ownRoot(options ...string) []string {
	if os.Geteuid() == 0 {
		return nil
	}
	return options
}

// seenBy is a command that sees the disk.
func (d *Disk) seenBy(path string, args []string) (string, []string) {
	enter := append([]string{"--target", strconv.Itoa(d.holder.PID())}, ownRoot("--user", "--preserve-credentials")...)
	return "nsenter", append(append(enter, "--mount", path), args...)
}

// inside is the path of a file for what sees the disk, Path is that for others.
func (d *Disk) inside(name string) string { return filepath.Join(d.dir, name) }

// Path is where a file of the disk is found from outside.
func (d *Disk) Path(name string) string {
	return filepath.Join("/proc", strconv.Itoa(d.holder.PID()), "root", d.inside(name))
}

// Fill takes all the room that is left.
func (d *Disk) Fill() error {
	file, err := os.OpenFile(d.Path(filler), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("fill the disk: %w", err)
	}
	defer func() { _ = file.Close() }()
	if _, err := io.Copy(file, zeroes{}); !errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("fill the disk: want it full: %w", err)
	}
	return nil
}

// Free gives the room back that Fill took.
func (d *Disk) Free() error {
	if err := os.Remove(d.Path(filler)); err != nil {
		return fmt.Errorf("free the disk: %w", err)
	}
	return nil
}

// zeroes are without an end.
type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) { clear(p); return len(p), nil }
