// Package measured is how what programs measure comes into a document: at which place,
// of which commit, on which machine.
package measured

import (
	"fmt"
	"os"
	"strings"
)

// Place is a part of a document that a program writes, between two lines that stay.
type Place struct{ Begin, End string }

// Read is what is there now.
func (p Place) Read(path string) (string, error) {
	_, text, _, err := p.cut(path)
	return text, err
}

// Write puts a text there and keeps the rest of the document.
func (p Place) Write(path, text string) error {
	before, _, after, err := p.cut(path)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(before+p.Begin+text+p.End+after), 0o644); err != nil {
		return fmt.Errorf("write the document: %w", err)
	}
	return nil
}

func (p Place) cut(path string) (before, text, after string, err error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", "", "", fmt.Errorf("read the document: %w", err)
	}
	before, rest, found := strings.Cut(string(raw), p.Begin)
	text, after, ends := strings.Cut(rest, p.End)
	if !found || !ends {
		return "", "", "", fmt.Errorf("%s has no place for the table: %q and %q", path, p.Begin, p.End)
	}
	return before, text, after, nil
}
