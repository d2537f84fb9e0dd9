// Package outputtest compares what is printed with golden files.
package outputtest

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/bulkhead-dev/bulkhead/plugin/output"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Golden fails unless the value is printed as the file of testdata says. With
// -update it writes that.
func Golden(t *testing.T, file string, format output.Format, value any, table func(io.Writer) error) {
	t.Helper()
	var out bytes.Buffer
	if err := output.Print(&out, format, value, table); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", file)
	if *update {
		const everybodyReads = 0o644
		if err := os.WriteFile(path, out.Bytes(), everybodyReads); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), want) {
		t.Errorf("not as in %s, which -update writes anew:\n%s", path, out.String())
	}
}
