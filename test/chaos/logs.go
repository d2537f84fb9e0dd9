package main

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/bulkhead-dev/bulkhead/test/leak"
)

const (
	// encodedStart is how a JWT begins in a Secret on the wire, in base64 twice.
	encodedStart = "ZXlK"
	// shortestSecret is the least that is looked at, in characters: a signature has
	// 86.
	shortestSecret = 40
	maxLine        = 16 << 20
)

// logFiles looks for tokens in the logs of every component.
type logFiles struct {
	folder string
	// product are the names of the logs in which nothing may even look like a token.
	product    map[string]bool
	signatures map[string]bool
	silent     *check
}

// search reads all logs.
func (l *logFiles) search() error {
	files, err := filepath.Glob(filepath.Join(l.folder, "*.log"))
	if err != nil {
		return fmt.Errorf("look for logs: %w", err)
	}
	for _, path := range files {
		if err := l.searchFile(path); err != nil {
			return fmt.Errorf("search %s: %w", filepath.Base(path), err)
		}
	}
	return nil
}

func (l *logFiles) searchFile(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	name := strings.TrimSuffix(filepath.Base(path), ".log")
	lines := bufio.NewReaderSize(file, maxLine)
	for number := 1; ; number++ {
		line, err := lines.ReadSlice('\n')
		if l.tells(string(line), l.product[name]) {
			l.silent.broken("line %d of %s holds a token, or what looks like one", number, filepath.Base(path))
		}
		switch {
		case err == nil || errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF):
			l.silent.held()
			return nil
		default:
			return err
		}
	}
}

// tells is whether a line holds a token that was seen; of the product's, whether it
// holds anything that begins as one.
func (l *logFiles) tells(line string, product bool) bool {
	if product && leak.Index(line) >= 0 {
		return true
	}
	for _, word := range strings.FieldsFunc(line, func(r rune) bool { return !inBase64(r) }) {
		if len(word) < shortestSecret {
			continue
		}
		if l.signatures[word] {
			return true
		}
		if at := strings.Index(word, encodedStart); at >= 0 && l.encodes(word[at:]) {
			return true
		}
	}
	return false
}

// encodes is whether a word is a token that was seen, in base64.
func (l *logFiles) encodes(word string) bool {
	raw, err := base64.RawStdEncoding.DecodeString(word)
	if err != nil {
		return false
	}
	token := string(raw)
	return l.signatures[token[strings.LastIndexByte(token, '.')+1:]]
}

// inBase64 is whether a character is of base64 in either alphabet, without padding.
func inBase64(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("+/-_", r)
}
