package documents

import (
	"fmt"
	"os"
	"strings"
)

// Marks enclose what a program writes in a document; each stands on a line of its
// own.
type Marks struct{ Begin, End string }

// WrittenBy are the marks of what a command writes, such as "make bench".
func WrittenBy(command string) Marks {
	return Marks{Begin: "<!-- written by " + command + " -->", End: "<!-- end of what " + command + " writes -->"}
}

// Rewrite puts what change makes of the text between the marks in its place.
func Rewrite(path string, marks Marks, change func(old string) (string, error)) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the document: %w", err)
	}
	begin, end := marks.Begin+"\n", marks.End+"\n"
	before, rest, found := strings.Cut(string(raw), begin)
	old, after, ends := strings.Cut(rest, end)
	if !found || !ends {
		return fmt.Errorf("%s has no place for what is written: %q and %q", path, marks.Begin, marks.End)
	}
	text, err := change(old)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := os.WriteFile(path, []byte(before+begin+text+end+after), 0o644); err != nil {
		return fmt.Errorf("write the document: %w", err)
	}
	return nil
}
