// Command licences lists the modules that are in the product's binaries, and the
// licence of each as its own file says. It fails for a licence that is not known to
// go with Apache-2.0, and for a module without one.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// accepted are those that a binary under Apache-2.0 may contain, by their SPDX
// ids; MPL-2.0 asks for its own files to stay available, which they are.
var accepted = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0"}

// enough is the share of a licence's text, in percent, that has to be that licence:
// below it, something else stands there too.
const enough = 75

func main() {
	if len(os.Args) != 2 { //nolint:mnd // it and its argument
		fmt.Fprintln(os.Stderr, "usage: licences ROOT")
		os.Exit(1)
	}
	if err := write(context.Background(), os.Stdout, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "licences:", err)
		os.Exit(1)
	}
}

type module struct{ path, version, dir string }

func write(ctx context.Context, w io.Writer, root string) error {
	modules, err := shipped(ctx, root)
	if err != nil {
		return err
	}
	var table strings.Builder
	table.WriteString("# Licences of what is in the binaries\n\nWritten by `hack/supplychain --write` from the licence files of the modules; the image's bill of materials (SPDX) has the same modules. Bulkhead itself is Apache-2.0.\n\n| module | version | licence |\n|---|---|---|\n")
	var wrong error
	for _, m := range modules {
		ids, err := licences(m.dir)
		if err != nil {
			wrong = errors.Join(wrong, fmt.Errorf("%s %s: %w", m.path, m.version, err))
			continue
		}
		fmt.Fprintf(&table, "| %s | %s | %s |\n", m.path, m.version, strings.Join(ids, ", "))
	}
	if wrong != nil {
		return wrong
	}
	if _, err := io.WriteString(w, table.String()); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// shipped are the modules with a package in one of the binaries, but for our own.
func shipped(ctx context.Context, root string) ([]module, error) {
	list := exec.CommandContext(ctx, "go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Version}}\t{{.Dir}}{{end}}{{end}}", "./cmd/...")
	list.Dir = root
	list.Env = append(os.Environ(), "CGO_ENABLED=0")
	var problems bytes.Buffer
	list.Stderr = &problems
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("list the modules: %w: %s", err, problems.Bytes())
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(lines)
	var modules []module
	for _, line := range slices.Compact(lines) {
		fields := strings.Split(line, "\t")
		if len(fields) != 3 || fields[2] == "" { //nolint:mnd // path, version, folder
			continue // a package that belongs to no module has an empty line
		}
		modules = append(modules, module{fields[0], fields[1], fields[2]})
	}
	if len(modules) == 0 {
		return nil, errors.New("the binaries have no modules")
	}
	return modules, nil
}

// licences are the ids of what a module's licence files say.
func licences(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the module: %w", err)
	}
	var ids []string
	for _, entry := range entries {
		name := strings.ToUpper(entry.Name())
		if entry.IsDir() || !strings.HasPrefix(name, "LICEN") && !strings.HasPrefix(name, "COPYING") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return nil, fmt.Errorf("read its licence: %w", err)
		}
		coverage := licensecheck.Scan(text)
		if coverage.Percent < enough || len(coverage.Match) == 0 {
			return nil, fmt.Errorf("%s is no licence that is known (%.0f %% of it is)", entry.Name(), coverage.Percent)
		}
		for _, match := range coverage.Match {
			if !slices.Contains(accepted, match.ID) {
				return nil, fmt.Errorf("%s: licence %s is not among those accepted", entry.Name(), match.ID)
			}
			ids = append(ids, match.ID)
		}
	}
	if len(ids) == 0 {
		return nil, errors.New("it has no licence file")
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}
