package documents

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// Reader is somebody who types what the documents say, in a folder that has the
// charts, as the admin of a cluster, and agrees to whatever is asked.
type Reader struct {
	// Dir is where the commands run. Files that the documents take for given
	// belong there.
	Dir string

	// Here are the names of the documents' site and those of this one, in turn, as
	// strings.NewReplacer takes them.
	Here []string

	env []string
}

// NewReader makes one in an empty folder. The kubeconfig is the cluster's.
func NewReader(dir string, binaries *cluster.Binaries, kubeconfig string) (*Reader, error) {
	bin := filepath.Join(dir, ".bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		return nil, fmt.Errorf("make a reader: %w", err)
	}
	for link, target := range map[string]string{
		filepath.Join(bin, "kubectl"):          binaries.Kubectl,
		filepath.Join(bin, "kubectl-bulkhead"): binaries.KubectlBulkhead, // so kubectl finds its plugin
		filepath.Join(bin, "helm"):             binaries.Helm,
		filepath.Join(bin, "issuer"):           binaries.Issuer,
		filepath.Join(dir, "charts"):           filepath.Join(binaries.Root, "charts"),
	} {
		if err := os.Symlink(target, link); err != nil {
			return nil, fmt.Errorf("make a reader: %w", err)
		}
	}
	return &Reader{
		Dir: dir,
		env: append(os.Environ(),
			"PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "KUBECONFIG="+kubeconfig,
			"HOME="+dir), // Helm keeps caches there
	}, nil
}

// Do runs a block as a script that ends at the first command that fails, and
// returns what it printed and its exit code. An error is for what did not run.
func (r *Reader) Do(ctx context.Context, block Block) (output string, code int, err error) {
	cmd := exec.CommandContext(ctx, "bash", "-eu", "-o", "pipefail", "-c", strings.NewReplacer(r.Here...).Replace(block.Text))
	cmd.Dir, cmd.Env, cmd.Stdin = r.Dir, r.env, agreement{}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	err = cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && ctx.Err() == nil {
		return said.String(), exit.ExitCode(), nil
	}
	if err != nil {
		return said.String(), 0, fmt.Errorf("%s: %w", block, err)
	}
	return said.String(), 0, nil
}

// agreement says yes without an end.
type agreement struct{}

func (agreement) Read(p []byte) (int, error) {
	const yes = "yes\n"
	for i := range p {
		p[i] = yes[i%len(yes)]
	}
	return len(p) / len(yes) * len(yes), nil
}
