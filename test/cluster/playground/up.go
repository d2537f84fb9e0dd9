package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const watchInterval = 100 * time.Millisecond

// runUp starts the process that holds the playground, in a session of its own,
// and shows what it says until it is ready, fails or ctx ends.
func runUp(ctx context.Context, cfg config, out io.Writer) error {
	cfg, err := cfg.absolute()
	if err != nil {
		return err
	}
	pid, err := cfg.holder()
	if err != nil {
		return err
	}
	if pid != 0 {
		return fmt.Errorf("a playground runs in %s already (process %d): `make down` ends it", cfg.dir, pid)
	}
	if err := emptyFolder(cfg.dir); err != nil {
		return err
	}
	log, err := os.Create(cfg.holderLog())
	if err != nil {
		return fmt.Errorf("make the log: %w", err)
	}
	holder, err := startHolder(cfg, log)
	if err != nil {
		return errors.Join(err, log.Close())
	}
	ended := make(chan error, 1)
	go func() { ended <- holder.Wait() }()
	err = follow(ctx, cfg, holder.Process.Pid, ended, out)
	return errors.Join(err, log.Close())
}

// emptyFolder clears what is left of an earlier playground. It refuses a folder that
// is not one.
func emptyFolder(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("clear the run folder: %w", err)
	case len(entries) > 0:
		cfg := config{dir: dir}
		if _, err := os.Stat(cfg.holderLog()); err != nil {
			return fmt.Errorf("%s is not empty and not a run folder: choose another with --dir", dir)
		}
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("clear the run folder: %w", err)
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the run folder: %w", err)
	}
	return nil
}

func startHolder(cfg config, log *os.File) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	holder := exec.Command(self, "hold", "--dir", cfg.dir, //nolint:noctx // it outlives this process
		"--clusters", strings.Join(cfg.clusters, ","), "--token-life", cfg.tokenLife.String())
	holder.Env = append(os.Environ(), cfg.holderMark())
	holder.Stdout, holder.Stderr = log, log
	holder.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := holder.Start(); err != nil {
		return nil, fmt.Errorf("start the playground: %w", err)
	}
	return holder, nil
}

// follow copies the holder's log to out until the holder is ready. If it is not
// to be, the holder has ended when follow returns.
func follow(ctx context.Context, cfg config, pid int, ended <-chan error, out io.Writer) error {
	log, err := os.Open(cfg.holderLog())
	if err != nil {
		return errors.Join(fmt.Errorf("read the log: %w", err), terminate(pid))
	}
	defer func() { _ = log.Close() }()
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			fmt.Fprintln(out, "interrupted: ending what was started")
			if err := terminate(pid); err != nil {
				return err
			}
			return errors.Join(errors.New("interrupted"), <-ended)
		case err := <-ended:
			_, copyErr := io.Copy(out, log)
			return errors.Join(fmt.Errorf("the playground did not come up (%w)", err), copyErr)
		case <-ticker.C:
		}
		// Before the copy, so that the last lines are not left out.
		_, missing := os.Stat(cfg.readyFile())
		if _, err := io.Copy(out, log); err != nil {
			return errors.Join(fmt.Errorf("show the log: %w", err), terminate(pid))
		}
		if missing == nil {
			return nil
		}
	}
}
