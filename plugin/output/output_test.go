package output

import (
	"bytes"
	"encoding/json"
	"io"
	"os/exec"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// hostile is what a tenant may have written: it clears the screen by either form
// of the control sequence, turns what follows around, and begins a line of its own.
const hostile = "a\x1b[2Jb\u009b2Jc\u202ed\u2066e\x7ff\ngood: yes\r\tg"

func TestWhatATenantWroteSteersNoTerminal(t *testing.T) {
	for _, format := range []Format{Table, JSON, YAML} {
		var out bytes.Buffer
		err := Print(&out, format, map[string]string{"name": hostile}, func(w io.Writer) error {
			table := NewColumns(w, "NAME", "OTHER")
			table.Row(hostile, "x")
			return table.Flush()
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range out.String() {
			if steers(r) && r != '\n' {
				t.Errorf("%s: %U is printed in %q", format, r, out.String())
			}
		}
		if format == Table && strings.Count(out.String(), "\n") != 2 {
			t.Errorf("a row is not one line: %q", out.String())
		}
		is, want := map[string]string{}, hostile
		switch format {
		case JSON:
			err = json.Unmarshal(out.Bytes(), &is)
		case YAML:
			want = strings.NewReplacer("\u202e", "\ufffd", "\u2066", "\ufffd").Replace(hostile)
			err = yaml.Unmarshal(out.Bytes(), &is)
		default:
			continue
		}
		if err != nil || is["name"] != want {
			t.Errorf("%s: a program reads %q (%v)", format, is["name"], err)
		}
	}
}

func TestPlainKeepsTextAndLines(t *testing.T) {
	const text = "größer als\n\tein „Wort“ 漢字"
	if got := Plain(text); got != text {
		t.Errorf("got %q", got)
	}
	if got, want := Line(text), "größer als ein „Wort“ 漢字"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAShellTakesAnArgumentForOneWord(t *testing.T) {
	for _, text := range []string{
		"shop.0b1d3a52@k14c1", "tenant/pay_ments@k14c1", "", "a b", "$(touch x)", "`id`;reboot", `it's "so"\`, "-n", "~", "*", "größer", "a\nb",
	} {
		got, err := exec.CommandContext(t.Context(), "sh", "-c", "printf %s "+Argument(text)).Output()
		if text == "-n" { // an option is the command's matter
			continue
		}
		if err != nil || string(got) != text {
			t.Errorf("%q is taken for %q (%v)", text, got, err)
		}
	}
	if got := Argument("shop.0b1d3a52@k14c1"); got != "shop.0b1d3a52@k14c1" {
		t.Errorf("what needs no quotes has them: %s", got)
	}
}
