package tenancy

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestEveryKeyOfTheDriversParserIsClassed reads the parser that the driver
// links and fails on a key that nobody has thought about.
func TestEveryKeyOfTheDriversParserIsClassed(t *testing.T) {
	dir := openstorageDir(t)
	constants := stringConstants(t, filepath.Join(dir, "api", "api.go"))
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, "api", "spec", "spec_handler.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		clause, ok := n.(*ast.CaseClause)
		if !ok {
			return true
		}
		for _, e := range clause.List {
			sel, ok := e.(*ast.SelectorExpr)
			if !ok {
				continue
			}
			if pkg, ok := sel.X.(*ast.Ident); !ok || pkg.Name != "api" {
				continue
			}
			key, ok := constants[sel.Sel.Name]
			if !ok {
				continue // an enumeration, not a key
			}
			seen[key] = true
			if Classify(key) == Unread {
				t.Errorf("the driver reads %q (api.%s) and it is not classed", key, sel.Sel.Name)
			}
		}
		return true
	})
	// A parser that moved would make the loop above check nothing.
	for _, key := range []string{"parent", "repl", "proxy_nfs_subpath", "token"} {
		if !seen[key] {
			t.Errorf("the walk did not meet %q: has the parser moved?", key)
		}
	}
}

func TestClassify(t *testing.T) {
	for key, want := range map[string]KeyClass{
		"parent":                            Forbidden,
		"csi.openstorage.org/snapshot-type": Forbidden,
		"csi.storage.k8s.io/pvc/namespace":  Forbidden,
		"px/secret-name":                    Forbidden,
		"px/snapshot-source-pvc":            Forbidden,
		"repl":                              Tunable,
		AuthSecretName:                      Managed,
		AuthSecretNamespace:                 Managed,
		"Parent":                            Unread, // the driver matches case-sensitively
		"app.kubernetes.io/name":            Unread,
		// The chart does not send updates of what Kubernetes itself writes.
		"volume.kubernetes.io/selected-node":      Unread,
		"volume.kubernetes.io/parent":             Unread,
		"pv.kubernetes.io/parent":                 Unread,
		"px.dev/parent":                           Unread,
		"pv.kubernetes.io/bind-completed":         Unread,
		"volume.beta.kubernetes.io/storage-class": Unread,
	} {
		if got := Classify(key); got != want {
			t.Errorf("Classify(%q) = %d, want %d", key, got, want)
		}
	}
}

func openstorageDir(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/libopenstorage/openstorage").Output()
	if err != nil {
		t.Fatalf("find the driver's source: %v", err)
	}
	return strings.TrimSpace(string(out))
}

func stringConstants(t *testing.T, path string) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, decl := range file.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.CONST {
			continue
		}
		for _, spec := range gen.Specs {
			value := spec.(*ast.ValueSpec)
			for i, name := range value.Names {
				if i >= len(value.Values) {
					continue
				}
				if lit, ok := value.Values[i].(*ast.BasicLit); ok && lit.Kind == token.STRING {
					s, err := strconv.Unquote(lit.Value)
					if err != nil {
						t.Fatal(err)
					}
					out[name.Name] = s
				}
			}
		}
	}
	return out
}
