package adopt

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// Entry is one change, as the audit file keeps it: a JSON object on a line of its
// own. It holds nothing secret.
type Entry struct {
	// Time in UTC.
	Time time.Time `json:"time"`
	// Cluster is the compute cluster for which it was made.
	Cluster string `json:"cluster,omitempty"`
	// Kind and Name of what was changed: a kind of Kubernetes, or "Volume" for the
	// ownership of a volume of the storage cluster, by its id.
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// Before and After are the object, or the ownership, in JSON.
	Before json.RawMessage `json:"before"`
	After  json.RawMessage `json:"after"`
}

// Log is the audit file. An entry is on disk before the change is made.
type Log struct {
	path, cluster string

	mu   sync.Mutex
	file *os.File
}

// OpenLog is an audit file to append to, for changes in the compute cluster of
// that name. It is made with the first change.
func OpenLog(path, cluster string) *Log { return &Log{path: path, cluster: cluster} }

// Path is where it is, empty if nothing was written.
func (l *Log) Path() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return ""
	}
	return l.path
}

// Close closes the file.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	if err := l.file.Close(); err != nil {
		return fmt.Errorf("audit file: %w", err)
	}
	return nil
}

// write keeps a change that is about to be made.
func (l *Log) write(e Entry, before, after any) error {
	e.Time, e.Cluster = time.Now().UTC(), l.cluster
	var err error
	if e.Before, err = json.Marshal(before); err != nil {
		return fmt.Errorf("audit file: %w", err)
	}
	if e.After, err = json.Marshal(after); err != nil {
		return fmt.Errorf("audit file: %w", err)
	}
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("audit file: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		// Only its owner may read it: it says who owns what.
		const ownerOnly = 0o600
		file, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_RDWR, ownerOnly)
		if err != nil {
			return fmt.Errorf("audit file, so nothing was changed: %w", err)
		}
		if err := cutTorn(file); err != nil {
			return errors.Join(fmt.Errorf("audit file %s, so nothing was changed: %w", l.path, err), file.Close())
		}
		l.file = file
	}
	if _, err := l.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("audit file, so nothing was changed: %w", err)
	}
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("audit file, so nothing was changed: %w", err)
	}
	return nil
}

// everyLine is what each line of an audit file begins with.
const everyLine = `{"time":"`

// cutTorn cuts off a last line that a run was killed in: of a change that was not
// begun. A file that is no audit file is left as it is.
func cutTorn(file *os.File) error {
	whole, end := int64(0), false
	for lines := bufio.NewReader(file); !end; {
		line, err := lines.ReadString('\n')
		if end = errors.Is(err, io.EOF); err != nil && !end {
			return fmt.Errorf("read it: %w", err)
		}
		// What is torn may be shorter.
		if !strings.HasPrefix(line, everyLine) && (!end || !strings.HasPrefix(everyLine, line)) {
			return errors.New("it is a file of something else")
		}
		if !end {
			whole += int64(len(line))
		}
	}
	if err := file.Truncate(whole); err != nil {
		return fmt.Errorf("cut off its last line: %w", err)
	}
	return nil
}

// ReadLog reads an audit file, the first change first. A last line that was not
// finished is of a change that was not begun.
func ReadLog(path string) ([]Entry, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("audit file: %w", err)
	}
	defer func() { _ = file.Close() }()
	var entries []Entry
	for lines := bufio.NewReader(file); ; {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return entries, nil
		}
		if err != nil {
			return nil, fmt.Errorf("audit file: %w", err)
		}
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("audit file: line %d: %w", len(entries)+1, err)
		}
		entries = append(entries, e)
	}
}
