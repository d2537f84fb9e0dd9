package cluster

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// Leftovers returns the ids of the processes that were started for the run
// folder dir, absolute, and still run. Those of other users are not seen.
func Leftovers(dir string) ([]int, error) {
	return processesWith(RunVariable + "=" + dir)
}

// processesWith finds processes by an entry of their environment.
func processesWith(entry string) ([]int, error) {
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return nil, fmt.Errorf("look for processes: %w", err)
	}
	var found []int
	for _, file := range files {
		// One that has just ended, or another user's, cannot be read; of one that
		// has ended but was not waited for, the environment is empty.
		raw, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for variable := range bytes.SplitSeq(raw, []byte{0}) {
			if string(variable) == entry {
				id, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
				if err != nil {
					return nil, fmt.Errorf("look for processes: %w", err)
				}
				found = append(found, id)
				break
			}
		}
	}
	return found, nil
}
