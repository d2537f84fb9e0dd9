package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/test/actors"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
	"github.com/bulkhead-dev/bulkhead/test/documents"
	"github.com/bulkhead-dev/bulkhead/test/leak"
	"github.com/bulkhead-dev/bulkhead/test/node"
)

// again is for what Pods do by and by; a sidecar that the issuer did not know waits
// for a minute before it asks again.
const again = 3 * time.Minute

// testDocuments is somebody who has the storage cluster and the node, installs by
// what the documents say, and does what else is in them. Each block of a document
// is run, in order; what is before or after one is what the text asks for, and what
// it promises.
func testDocuments(t *testing.T) {
	r := newReading(t)
	for _, document := range []struct {
		file string
		run  func(*testing.T, []documents.Block)
	}{
		{"README.md", r.readme},
		{"docs/tutorial.md", r.tutorial},
		{"docs/plugin.md", r.plugin},
		{"docs/certificates.md", r.certificates},
		{"docs/disaster.md", r.disaster},
		{"charts/bulkhead-issuer/README.md", r.issuerChart},
		{"charts/bulkhead/README.md", r.chart},
	} {
		ok := t.Run(document.file, func(t *testing.T) {
			blocks, err := documents.Commands(stage.binaries.Root, document.file)
			if err != nil {
				t.Fatal(err)
			}
			document.run(t, blocks)
		})
		if !ok {
			return // the next ones build on it
		}
	}
}

// reading is a reader, and the files that the documents take for given.
type reading struct{ *documents.Reader }

func newReading(t *testing.T) *reading {
	t.Helper()
	reader, err := documents.NewReader(t.TempDir(), stage.binaries, stage.compute.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	version, err := chartVersion(stage.binaries.Root)
	if err != nil {
		t.Fatal(err)
	}
	sdk := stage.env.Storage.SDKAddress
	reader.Here = []string{
		"px-main.storage.example:9020", sdk, "px.example:9020", sdk, " --sdk-tls", "", // this one has none
		"https://issuer.storage.example", issuerURL, "https://issuer.example", issuerURL,
		"storage.cluster=px-main", "storage.cluster=" + stage.env.Storage.ID,
		"charts/bulkhead ", "charts/bulkhead --values site.yaml ", // its CA, its driver
		"10.0.0.11", node.Address, "10.0.0.12", issuerAddress,
		"registry.example/bulkhead:0.1.0", image + ":" + version,
	}
	r := &reading{reader}
	ca, err := os.ReadFile(stage.compute.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	r.write(t, "issuer-ca.pem", ca)
	token, err := os.ReadFile(stage.env.Storage.AdminTokenFile)
	if err != nil {
		t.Fatal(err)
	}
	r.write(t, "admin.token", token)
	values := stage.values(string(ca))
	r.writeYAML(t, "values.yaml", values)
	r.writeYAML(t, "site.yaml", values)
	r.writeYAML(t, "issuer.yaml", stage.issuerValues([]any{}))
	return r
}

func (r *reading) write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.Dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (r *reading) writeYAML(t *testing.T, name string, content any) {
	t.Helper()
	raw, err := yaml.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	r.write(t, name, raw)
}

// must runs a block that is to succeed, and returns what it printed.
func (r *reading) must(t *testing.T, block documents.Block) string {
	t.Helper()
	out, code, err := r.Do(t.Context(), block)
	if err != nil || code != 0 {
		t.Fatalf("%s: exit %d: %v\n%s", block, code, err, out)
	}
	if leak.Index(out) >= 0 {
		t.Errorf("%s: there is a token in the output", block)
	}
	return out
}

// typed runs a command that no document has, but that their text asks for.
func (r *reading) typed(t *testing.T, command string) string {
	t.Helper()
	return r.must(t, documents.Block{File: "typed by the test", Text: command})
}

// eventually runs a command until it succeeds.
func (r *reading) eventually(t *testing.T, command string) {
	t.Helper()
	err := cluster.Poll(t.Context(), again, func(ctx context.Context) error {
		out, code, err := r.Do(ctx, documents.Block{File: "typed by the test", Text: command})
		if err == nil && code != 0 {
			err = fmt.Errorf("%s: exit %d: %s", command, code, out)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// works is whether Bulkhead does, as it says itself and as its tests do.
func (r *reading) works(t *testing.T) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Log(r.typed(t, "kubectl -n bulkhead-system logs -l app.kubernetes.io/component=sidecar --tail=50 --prefix"))
		}
	}()
	r.eventually(t, "kubectl bulkhead status")
	r.typed(t, "helm test bulkhead -n bulkhead-system")
}

func (r *reading) uninstall(t *testing.T) {
	t.Helper()
	r.typed(t, "helm uninstall bulkhead -n bulkhead-system --wait\nhelm uninstall bulkhead-issuer -n bulkhead-issuer --wait")
}

// register has the storage admin write what register printed into issuer.yaml.
func (r *reading) register(t *testing.T, printed []byte) {
	t.Helper()
	var clusters []any
	if err := yaml.Unmarshal(printed, &clusters); err != nil || len(clusters) != 1 {
		t.Fatalf("register printed %d clusters (%v)", len(clusters), err)
	}
	r.writeYAML(t, "issuer.yaml", stage.issuerValues(clusters))
}

// want are the blocks of a document, so many.
func want(t *testing.T, blocks []documents.Block, number int) {
	t.Helper()
	if len(blocks) != number {
		t.Fatalf("there are %d blocks of commands, and this test knows what is to come of %d", len(blocks), number)
	}
}

// The two commands of the README that are not of the install are the gate's own.
func (r *reading) readme(t *testing.T, blocks []documents.Block) {
	t.Helper()
	gate, err := os.ReadFile(filepath.Join(stage.binaries.Root, ".ci/run"))
	if err != nil {
		t.Fatal(err)
	}
	blocks = slices.DeleteFunc(blocks, func(b documents.Block) bool {
		return strings.HasPrefix(b.Text, "make ") && strings.Contains(string(gate), "\n"+b.Text)
	})
	want(t, blocks, 2)
	r.uninstall(t)
	r.must(t, blocks[0])
	r.must(t, blocks[1])
	r.register(t, []byte(r.typed(t, "kubectl bulkhead register k14c1")))
	r.typed(t, "helm upgrade bulkhead-issuer charts/bulkhead-issuer -n bulkhead-issuer -f issuer.yaml --wait")
	r.works(t)
	r.uninstall(t)
	r.writeYAML(t, "issuer.yaml", stage.issuerValues([]any{}))
}

func (r *reading) tutorial(t *testing.T, blocks []documents.Block) {
	t.Helper()
	want(t, blocks, 10)
	for _, block := range blocks {
		switch {
		case strings.HasPrefix(block.Text, "helm upgrade bulkhead-issuer"):
			printed, err := os.ReadFile(filepath.Join(r.Dir, "k14c1.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			r.register(t, printed)
			r.must(t, block)
		case strings.HasPrefix(block.Text, "kubectl bulkhead status"): // soon, it says
			r.eventually(t, block.Text)
		case block.Heading == "5. Try to take it":
			handle := r.typed(t, "kubectl get pv $(kubectl -n shop get pvc data -o jsonpath={.spec.volumeName}) -o jsonpath={.spec.csi.volumeHandle}")
			block.Text = strings.ReplaceAll(block.Text, "<the id of shop's volume>", handle)
			out, code, err := r.Do(t.Context(), block)
			if err != nil || code == 0 || !strings.Contains(out, "BH-A4: metadata.annotations[parent]: the storage driver would take this key for a volume parameter that a claim may not set") {
				t.Errorf("%s: exit %d: %v\n%s", block, code, err, out)
			}
		case block.Heading == "6. Close":
			// The tests before this one left more than that behind.
			out, code, err := r.Do(t.Context(), block)
			if err != nil || code > 1 || strings.Contains(out, "shop/") || strings.Contains(out, "bank/") {
				t.Errorf("%s: exit %d: %v\n%s", block, code, err, out)
			}
		default:
			r.must(t, block)
		}
	}
	admin, err := actors.NewStorageAdmin(stage.env.Storage)
	if err != nil {
		t.Fatal(err)
	}
	volumes, err := admin.Volumes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	owners := map[string]bool{}
	for _, volume := range volumes {
		name, _, _ := strings.Cut(volume.Owner, ".")
		owners[name] = true
	}
	if !owners["shop"] || !owners["bank"] {
		t.Errorf("owners are %v", owners)
	}
}

func (r *reading) plugin(t *testing.T, blocks []documents.Block) {
	t.Helper()
	want(t, blocks, 2)
	out := r.must(t, blocks[0])
	if !strings.Contains(out, "ok       storage-ports") {
		t.Errorf("the Pod that tries ports:\n%s", out)
	}
	// A key-value store that Pods reach.
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort(node.Address, "2379"))
	if err != nil {
		t.Fatal(err)
	}
	out, code, err := r.Do(t.Context(), blocks[0])
	if err = errors.Join(err, listener.Close()); err != nil || code != 1 || !strings.Contains(out, "failure  storage-ports") {
		t.Errorf("with a port that is open: exit %d: %v\n%s", code, err, out)
	}
	if out, code, err := r.Do(t.Context(), blocks[1]); err != nil || code > 1 {
		t.Errorf("%s: exit %d: %v\n%s", blocks[1], code, err, out)
	}
}

func (r *reading) certificates(t *testing.T, blocks []documents.Block) {
	t.Helper()
	want(t, blocks, 3)
	const secret = "kubectl -n bulkhead-system get secret bulkhead-webhook-ca -o "
	r.must(t, blocks[0])
	r.eventually(t, "test -n \"$("+secret+`jsonpath='{.data.previous\.crt}')"`)
	r.must(t, blocks[1])
	r.must(t, blocks[2])
	r.eventually(t, "test -z \"$("+secret+`jsonpath='{.data.previous\.crt}')"`)
}

func (r *reading) disaster(t *testing.T, blocks []documents.Block) {
	t.Helper()
	want(t, blocks, 3)
	key := r.typed(t, `issuer keys list --secret bulkhead-issuer/bulkhead-issuer-signing-key | awk '$3 == "signing" {print $1}'`)
	blocks[0].Text = strings.ReplaceAll(blocks[0].Text, "KEY", strings.TrimSpace(key))
	r.must(t, blocks[0])
	r.eventually(t, "kubectl bulkhead token inspect -n bank && kubectl bulkhead status")

	// The shop is restored: another uid, and the volume of before.
	subject := "shop." + r.typed(t, "kubectl get namespace shop -o jsonpath={.metadata.uid}") + "@k14c1"
	volume := r.typed(t, "kubectl -n shop get pvc data -o jsonpath={.spec.volumeName}")
	handle := r.typed(t, "kubectl get pv "+volume+" -o jsonpath={.spec.csi.volumeHandle}")
	r.typed(t, "kubectl patch pv "+volume+` -p '{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}'
kubectl delete namespace shop --timeout=2m
kubectl create namespace shop`)
	r.eventually(t, "kubectl bulkhead token inspect -n shop")
	blocks[1].Text = strings.NewReplacer("123456789", handle, "shop.0b1d3a52-5a0c-4f3e-9d2f-0c6f8a1b2c3d@k14c1", subject).Replace(blocks[1].Text)
	said := r.must(t, blocks[1])
	admin, err := actors.NewStorageAdmin(stage.env.Storage)
	if err != nil {
		t.Fatal(err)
	}
	now := "shop." + r.typed(t, "kubectl get namespace shop -o jsonpath={.metadata.uid}") + "@k14c1"
	if given, found, err := admin.Volume(t.Context(), handle); err != nil || !found || given.Owner != now {
		t.Errorf("the volume is owned by %q, want %q (found %v, %v)\n%s", given.Owner, now, found, err, said)
	}

	r.must(t, blocks[2])
	r.typed(t, "helm upgrade bulkhead charts/bulkhead -n bulkhead-system -f values.yaml --wait")
	r.eventually(t, "helm test bulkhead -n bulkhead-system")
}

func (r *reading) issuerChart(t *testing.T, blocks []documents.Block) {
	t.Helper()
	want(t, blocks, 2)
	r.uninstall(t)
	r.must(t, blocks[0])
	r.must(t, blocks[1])
	r.typed(t, "issuer keys list --secret bulkhead-issuer/issuer-key")
	r.typed(t, "helm upgrade bulkhead-issuer charts/bulkhead-issuer -n bulkhead-issuer -f issuer.yaml --set signingKey.existingSecret=issuer-key --wait")
}

func (r *reading) chart(t *testing.T, blocks []documents.Block) {
	t.Helper()
	want(t, blocks, 2)
	r.must(t, blocks[0])
	r.works(t)
	// One as the placement tenant leaves it where no hook runs.
	r.typed(t, "helm uninstall bulkhead -n bulkhead-system --wait --no-hooks")
	r.typed(t, `kubectl create -f - <<END
{apiVersion: v1, kind: Secret, metadata: {name: bulkhead-token, namespace: bank, finalizers: [bulkhead.dev/storage-token]}}
END
`)
	r.must(t, blocks[1])
	r.typed(t, "kubectl -n bank delete secret bulkhead-token --timeout=10s")
}
