// Package measured says of which commit and on which machine something was measured.
package measured

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// Commit is the commit of a checkout, "-dirty" if it was edited since.
func Commit(ctx context.Context, root string) (string, error) {
	commit, err := exec.CommandContext(ctx, "git", "-C", root, "describe", "--always", "--dirty").Output()
	if err != nil {
		return "", fmt.Errorf("the commit: %w", err)
	}
	return strings.TrimSpace(string(commit)), nil
}

// Machine is the processor, how much of it there is, and what runs on it.
func Machine() (string, error) {
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
