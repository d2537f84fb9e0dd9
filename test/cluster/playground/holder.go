package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// holderVariable marks the process that holds the playground of a run folder,
// so that another process which has got its number is not taken for it.
const holderVariable = "BULKHEAD_PLAYGROUND"

// config is what the flags say.
type config struct {
	dir       string
	clusters  []string
	tokenLife time.Duration
}

// Files of the run folder.
func (c config) pidFile() string    { return filepath.Join(c.dir, "pid") }
func (c config) envFile() string    { return filepath.Join(c.dir, "env") }
func (c config) readyFile() string  { return filepath.Join(c.dir, "ready") }
func (c config) holderLog() string  { return filepath.Join(c.dir, "playground.log") }
func (c config) holderMark() string { return holderVariable + "=" + c.dir }

// absolute is the configuration with the run folder's absolute path.
func (c config) absolute() (config, error) {
	dir, err := filepath.Abs(c.dir)
	if err != nil {
		return c, fmt.Errorf("run folder: %w", err)
	}
	c.dir = dir
	return c, nil
}

// holder is the id of the process that holds the playground, zero for none.
func (c config) holder() (int, error) {
	raw, err := os.ReadFile(c.pidFile())
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look for a playground: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		return 0, fmt.Errorf("look for a playground: %s: %w", c.pidFile(), err)
	}
	if !c.holds(pid) {
		return 0, nil
	}
	return pid, nil
}

// holds is whether the process runs and holds this playground.
func (c config) holds(pid int) bool {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
	return err == nil && slices.Contains(strings.Split(string(raw), "\x00"), c.holderMark())
}

func terminate(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("end process %d: %w", pid, err)
	}
	return nil
}
