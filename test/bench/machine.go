package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
)

// machine is the processor, how much of it there is, and what runs on it.
func machine() (string, error) {
	file, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "", fmt.Errorf("the machine: %w", err)
	}
	defer func() { _ = file.Close() }()
	model := runtime.GOARCH
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if key, value, found := strings.Cut(lines.Text(), ":"); found && strings.TrimSpace(key) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	if err := lines.Err(); err != nil {
		return "", fmt.Errorf("the machine: %w", err)
	}
	return fmt.Sprintf("%d cores of %s, %s", runtime.NumCPU(), model, runtime.Version()), nil
}
