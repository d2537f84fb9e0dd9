package cluster

import (
	"fmt"
	"os"
	"path/filepath"
)

// folder is a private folder of one part of an environment.
type folder string

func makeFolder(path string) (folder, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", fmt.Errorf("make folder: %w", err)
	}
	return folder(path), nil
}

func (f folder) path(name string) string { return filepath.Join(string(f), name) }

// write makes or replaces a file, at once for whoever reads it, and returns its
// path.
func (f folder) write(name string, content []byte) (string, error) {
	path := f.path(name)
	return path, replaceFile(path, content)
}

func replaceFile(path string, content []byte) error {
	unfinished := path + ".unfinished"
	if err := os.WriteFile(unfinished, content, 0o600); err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	if err := os.Rename(unfinished, path); err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	return nil
}
