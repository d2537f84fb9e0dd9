package main

import (
	"fmt"
	"time"

	"github.com/prometheus/procfs"
)

const mebibyte = 1 << 20

// usage is what a process has used since it began: processor time, and memory in
// MiB as it is now and as it was at most.
type usage struct {
	cpu            time.Duration
	resident, peak float64
}

// usageOf reads it from /proc, where processor time comes in hundredths of a second.
func usageOf(pid int) (usage, error) {
	process, err := procfs.NewProc(pid)
	if err != nil {
		return usage{}, fmt.Errorf("process %d: %w", pid, err)
	}
	stat, err := process.Stat()
	if err != nil {
		return usage{}, fmt.Errorf("process %d: %w", pid, err)
	}
	status, err := process.NewStatus()
	if err != nil {
		return usage{}, fmt.Errorf("process %d: %w", pid, err)
	}
	return usage{
		cpu:      time.Duration(stat.CPUTime() * float64(time.Second)),
		resident: float64(status.VmRSS) / mebibyte,
		peak:     float64(status.VmHWM) / mebibyte,
	}, nil
}
