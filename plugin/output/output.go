// Package output prints what a subcommand of kubectl bulkhead found: as a table
// for people, as JSON or YAML for programs.
package output

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fatih/color"
	"github.com/liggitt/tabwriter"
	"github.com/spf13/pflag"
	"golang.org/x/term"
	"sigs.k8s.io/yaml"
)

// Format is how results are printed.
type Format string

// Formats.
const (
	Table Format = "table"
	JSON  Format = "json"
	YAML  Format = "yaml"
)

var _ pflag.Value = (*Format)(nil)

// Set is for pflag.
func (f *Format) Set(text string) error {
	switch Format(text) {
	case Table, JSON, YAML:
		*f = Format(text)
		return nil
	}
	return fmt.Errorf("want %s, %s or %s", Table, JSON, YAML)
}

// String is for pflag.
func (f *Format) String() string { return string(*f) }

// Type is for pflag.
func (*Format) Type() string { return "format" }

// Formats are all of them.
func Formats() []string { return []string{string(Table), string(JSON), string(YAML)} }

// Print prints the value, whose fields have json tags, or its table.
func Print(w io.Writer, f Format, value any, table func(io.Writer) error) error {
	var text []byte
	var err error
	switch f {
	case JSON:
		text, err = json.MarshalIndent(value, "", "  ")
		text = append(escaped(text), '\n')
	case YAML:
		if text, err = json.Marshal(value); err == nil {
			text, err = yaml.JSONToYAML(escaped(text)) // which reads no control characters
			text = []byte(Plain(string(text)))         // and escapes nothing else
		}
	default:
		return table(w)
	}
	if err != nil {
		return fmt.Errorf("print: %w", err)
	}
	if _, err := w.Write(text); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// Columns print rows in columns, as kubectl does.
type Columns struct{ w *tabwriter.Writer }

// NewColumns begins a table with its heads.
func NewColumns(w io.Writer, heads ...string) *Columns {
	const width, pad = 6, 3 // kubectl's (cli-runtime, pkg/printers)
	c := &Columns{tabwriter.NewWriter(w, width, 4, pad, ' ', tabwriter.RememberWidths)}
	c.Row(heads...)
	return c
}

// Row adds a row. An empty cell is shown as a dash.
func (c *Columns) Row(cells ...string) {
	for i, cell := range cells {
		if cells[i] = Line(cell); cells[i] == "" {
			cells[i] = "-"
		}
	}
	fmt.Fprintln(c.w, strings.Join(cells, "\t"))
}

// Flush ends the table.
func (c *Columns) Flush() error {
	if err := c.w.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// Plain is text without what steers the terminal that it is shown on: names and
// messages of a cluster may have been written by a tenant.
func Plain(text string) string {
	return strings.Map(func(r rune) rune {
		if steers(r) && r != '\n' && r != '\t' {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// Line is plain text on one line: what a tenant wrote must not look like a line of
// ours.
func Line(text string) string { return Plain(strings.Join(strings.Fields(text), " ")) }

// steers reports whether a terminal takes the character for more than a sign: the
// control characters, and those that have what follows read from right to left.
func steers(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }

// escaped is JSON in which what steers a terminal is escaped. The encoder leaves
// most of it as it is; in JSON it stands in strings alone.
func escaped(text []byte) []byte {
	var out []byte
	for _, r := range string(text) {
		if steers(r) && r != '\n' { // our own lines
			out = fmt.Appendf(out, `\u%04x`, r)
		} else {
			out = utf8.AppendRune(out, r)
		}
	}
	return out
}

// Argument is text as a POSIX shell takes it for one word: people copy the commands
// that we tell them, and an owner's name is whatever its token says.
func Argument(text string) string {
	plain := func(r rune) bool {
		return r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("@%+=:,./_-", r))
	}
	if text != "" && !strings.ContainsFunc(text, func(r rune) bool { return !plain(r) }) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// Tone is what a coloured word says.
type Tone int

// Tones.
const (
	Good Tone = iota
	Doubtful
	Bad
)

// Paint colours a word if w is a terminal and NO_COLOR is not set. In tables
// coloured words belong into the last column: colours count as width.
func Paint(w io.Writer, tone Tone, text string) string {
	if !IsTerminal(w) || color.NoColor {
		return text
	}
	attribute := map[Tone]color.Attribute{Good: color.FgGreen, Doubtful: color.FgYellow, Bad: color.FgRed}[tone]
	painter := color.New(attribute)
	painter.EnableColor()
	return painter.Sprint(text)
}

// IsTerminal reports whether w is one.
func IsTerminal(w io.Writer) bool {
	file, ok := w.(interface{ Fd() uintptr })
	return ok && term.IsTerminal(int(file.Fd()))
}
