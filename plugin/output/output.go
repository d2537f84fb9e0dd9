// Package output prints what a subcommand of kubectl bulkhead found: as a table
// for people, as JSON or YAML for programs.
package output

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

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

// Print prints the value, whose fields have json tags, or its table.
func Print(w io.Writer, f Format, value any, table func(io.Writer) error) error {
	var text []byte
	var err error
	switch f {
	case JSON:
		text, err = json.MarshalIndent(value, "", "  ")
		text = append(text, '\n')
	case YAML:
		text, err = yaml.Marshal(value)
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
		if cell = strings.Join(strings.Fields(cell), " "); cell == "" {
			cell = "-" // what was there may have been written by a tenant: one line, one row
		}
		cells[i] = Plain(cell)
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

// Plain is text without control characters: names and messages of a cluster must
// not steer the terminal that they are shown on.
func Plain(text string) string {
	return strings.Map(func(r rune) rune {
		if (r < ' ' && r != '\n' && r != '\t') || (r >= 0x7f && r < 0xa0) {
			return '\uFFFD'
		}
		return r
	}, text)
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
