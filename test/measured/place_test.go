package measured

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAPlaceIsWrittenAndTheRestKept(t *testing.T) {
	place := Place{"<!-- begin -->\n", "<!-- end -->\n"}
	path := filepath.Join(t.TempDir(), "benchmarks.md")
	if err := os.WriteFile(path, []byte("# Before\n"+place.Begin+"old\n"+place.End+"After\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := place.Read(path); err != nil || text != "old\n" {
		t.Errorf("read %q (%v)", text, err)
	}
	if err := place.Write(path, "| new |\n"); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if want := "# Before\n" + place.Begin + "| new |\n" + place.End + "After\n"; err != nil || string(got) != want {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
	if err := os.WriteFile(path, []byte("# Before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := place.Write(path, "| new |\n"); err == nil {
		t.Error("a document without the place is taken")
	}
}
