// Package documents has the commands of the documents run, as they stand there, and
// writes what programs say into them.
package documents

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Shell is the language of a block that holds commands.
const Shell = "sh"

// Block is a fenced block of a document.
type Block struct {
	// File is the document, relative to the root of the checkout, and Line that
	// of the fence that opens the block, from 1.
	File string
	Line int
	// Heading is the one that the block stands under, without its marks.
	Heading string
	// Language is what stands behind the opening fence, often nothing.
	Language string
	Text     string
}

func (b Block) String() string { return fmt.Sprintf("%s:%d", b.File, b.Line) }

// Read returns the blocks of a document of the checkout at root, in order. A block
// that is not closed is an error.
func Read(root, file string) ([]Block, error) {
	content, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		return nil, fmt.Errorf("read a document: %w", err)
	}
	var (
		blocks  []Block
		text    strings.Builder
		heading string
		open    *Block
	)
	lines := bufio.NewScanner(strings.NewReader(string(content)))
	lines.Buffer(nil, len(content)+1)
	for number := 1; lines.Scan(); number++ {
		line := lines.Text()
		language, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && open == nil:
			open = &Block{File: file, Line: number, Heading: heading, Language: strings.TrimSpace(language)}
		case fence:
			open.Text = text.String()
			text.Reset()
			blocks, open = append(blocks, *open), nil
		case open != nil:
			text.WriteString(line + "\n")
		case strings.HasPrefix(line, "#"):
			heading = strings.TrimSpace(strings.TrimLeft(line, "#"))
		}
	}
	if open != nil {
		return nil, fmt.Errorf("%s: the block is not closed", open)
	}
	return blocks, lines.Err()
}

// Commands are the blocks of a document that hold commands; a document without any
// is an error.
func Commands(root, file string) ([]Block, error) {
	blocks, err := Read(root, file)
	if err != nil {
		return nil, err
	}
	var commands []Block
	for _, block := range blocks {
		if block.Language == Shell {
			commands = append(commands, block)
		}
	}
	if len(commands) == 0 {
		return nil, fmt.Errorf("%s has no commands", file)
	}
	return commands, nil
}
