package charts

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// run runs a program in a folder of the checkout and returns its standard output.
func run(ctx context.Context, folder string, stdin []byte, program string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = filepath.Join(binaries.Root, folder)
	cmd.Stdin = bytes.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s%s", filepath.Base(program), strings.Join(args, " "), err, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.Bytes(), nil
}

// moduleFolder is where a module of test/tools/crds lies.
func moduleFolder(ctx context.Context, module string) (string, error) {
	raw, err := run(ctx, "test/tools/crds", nil, "go", "mod", "download", "-json", module)
	if err != nil {
		return "", err
	}
	var found struct{ Dir string }
	if err := json.Unmarshal(raw, &found); err != nil {
		return "", err
	}
	return found.Dir, nil
}

// promtool runs Prometheus' own tool in test/charts/testdata.
func promtool(ctx context.Context, args ...string) error {
	_, err := run(ctx, "test/charts/testdata", nil, "go",
		append([]string{"tool", "-modfile=../../tools/prometheus/go.mod", "promtool"}, args...)...)
	return err
}

// matcher is one of a selector of PromQL; the name of the metric is the label
// __name__.
type matcher struct{ Label, Type, Value string }

// selectors parses PromQL expressions and says what series each asks for.
func selectors(ctx context.Context, expressions []string) ([][][]matcher, error) {
	in, err := json.Marshal(expressions)
	if err != nil {
		return nil, err
	}
	raw, err := run(ctx, "test/tools/prometheus", in, "go", "run", "./selectors")
	if err != nil {
		return nil, err
	}
	var found [][][]matcher
	return found, json.Unmarshal(raw, &found)
}

// oldest fails where the oldest Kubernetes that the charts are for does not know
// an object, or a field of it.
func oldest(ctx context.Context, manifests []byte) error {
	_, err := run(ctx, "test/tools/oldest", manifests, "go", "run", ".")
	return err
}
