package plugin

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/bulkhead-dev/bulkhead/test/documents"
	"github.com/bulkhead-dev/bulkhead/test/leak"
)

const migrating = "docs/migrate.md"

// reader is somebody with the documents before them, as the cluster's admin, with
// the files that they name.
func (f *former) reader(t *testing.T) *documents.Reader {
	t.Helper()
	r, err := documents.NewReader(t.TempDir(), binaries, f.admin.Compute.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]string{"admin.token": tokenFile(), "values.yaml": f.values(t)} {
		if err := os.Symlink(file, filepath.Join(r.Dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// migrate does what docs/migrate.md says, but for the way back.
func (f *former) migrate(t *testing.T, r *documents.Reader) {
	t.Helper()
	wantCode := map[string]int{"3. See what there is": 1} // what it is all about
	for _, block := range migration(t) {
		if block.Heading == "Back" {
			continue
		}
		out, code, err := r.Do(t.Context(), block)
		if err != nil || code != wantCode[block.Heading] {
			t.Fatalf("%s: exit %d, want %d: %v\n%s", block, code, wantCode[block.Heading], err, out)
		}
		if leak.Index(out) >= 0 {
			t.Errorf("%s: there is a token in the output", block)
		}
	}
}

func migration(t *testing.T) []documents.Block {
	t.Helper()
	blocks, err := documents.Commands(binaries.Root, migrating)
	if err != nil {
		t.Fatal(err)
	}
	return blocks
}

// back is the way back that docs/migrate.md has.
func back(t *testing.T) documents.Block {
	t.Helper()
	for _, block := range migration(t) {
		if block.Heading == "Back" {
			return block
		}
	}
	t.Fatalf("%s has no way back", migrating)
	return documents.Block{}
}
