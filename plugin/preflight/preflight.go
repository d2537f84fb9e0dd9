// Package preflight looks, before an install, at what would keep Bulkhead from
// working or make it guard less than it seems to. It changes nothing, but for the
// one check that is asked for by name and cleans up after itself.
package preflight

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"

	"github.com/bulkhead-dev/bulkhead/plugin/output"
	"github.com/bulkhead-dev/bulkhead/storage"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// Target is what is going to be installed, as far as it is known.
type Target struct {
	// Issuer is the URL of the issuer, IssuerCA its CA bundle in PEM, empty for the
	// system's roots.
	Issuer   string
	IssuerCA []byte
	// StorageCluster is its id.
	StorageCluster string
	// SDK is where this machine reaches the storage cluster.
	SDK storage.Endpoint
	// Drivers are those that are going to be guarded.
	Drivers tenancy.Drivers
	// Namespace of the release, and TokenNamespace.
	Namespace, TokenNamespace string
}

// Config says what is looked at.
type Config struct {
	Client   kubernetes.Interface
	Metadata metadata.Interface
	Target   Target
	// StorageToken is that of whoever may make volumes, for WriteTests. It is
	// secret.
	StorageToken string
	// WriteTests is whether a volume and a snapshot of it are made and deleted.
	WriteTests bool
	// StorageNodes are host names or addresses whose ports are tried from a Pod of
	// ProbeImage, in the namespace ProbeNamespace.
	StorageNodes               []string
	ProbeImage, ProbeNamespace string
	// Skip are ids of checks that are not made.
	Skip []string
	// Progress is told what is looked at.
	Progress func(what string)
}

// Status is what came of a check, the worst last.
type Status string

// Statuses.
const (
	OK Status = "ok"
	// Skipped checks were not made; Found says why.
	Skipped Status = "skipped"
	// Note is worth knowing.
	Note Status = "note"
	// Warning should be mended, and does not keep it from working.
	Warning Status = "warning"
	// Failure must be mended first.
	Failure Status = "failure"
)

var statuses = []Status{OK, Skipped, Note, Warning, Failure}

// Result is what one check found.
type Result struct {
	// Check is its id: docs/plugin.md explains each.
	Check  string `json:"check"`
	Status Status `json:"status"`
	Found  string `json:"found"`
	// Mend is what to do, empty if nothing is.
	Mend string `json:"mend,omitempty"`
}

// Report is what all checks found.
type Report struct {
	Results []Result `json:"results"`
}

// Failed reports whether there is a Failure.
func (r *Report) Failed() bool {
	return slices.ContainsFunc(r.Results, func(is Result) bool { return is.Status == Failure })
}

// check is one look. It returns what it found, one result a thing; an error means
// that it could not be done.
type check struct {
	id   string
	look func(context.Context, *Config) ([]Result, error)
}

// checks in the order in which they are shown.
var checks = []check{
	{"kubernetes-version", kubernetesVersion},
	{"feature-gates", featureGates},
	{"rights", rights},
	{"clock-skew", clockSkew},
	{"issuer", issuerReachable},
	{"issuer-volume", issuerVolume},
	{"storage-guest", guestAccess},
	{"storage-roles", roleWidth},
	{"storage-snapshot", realSnapshot},
	{"storage-ports", storagePorts},
	{"storage-secrets", storageSecrets},
	{"shared-tokens", sharedTokens},
	{"csi-sidecars", csiSidecars},
	{"driver-names", driverNames},
	{"webhooks", otherWebhooks},
	{"token-namespace", tokenNamespace},
}

// IDs are those of all checks.
func IDs() []string {
	var ids []string
	for _, c := range checks {
		ids = append(ids, c.id)
	}
	return ids
}

// checkTimeout bounds one check: what does not answer in that time does not work.
const checkTimeout = 90 * time.Second

// Run makes every check, whatever the others find.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	for _, id := range cfg.Skip {
		if !slices.Contains(IDs(), id) {
			return nil, fmt.Errorf("there is no check %q: want one of %s", id, strings.Join(IDs(), ", "))
		}
	}
	results := make([][]Result, len(checks))
	var group sync.WaitGroup
	for i, c := range checks {
		group.Go(func() {
			results[i] = run(ctx, &cfg, c)
		})
	}
	group.Wait()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("stopped: %w", ctx.Err())
	}
	return &Report{Results: slices.Concat(results...)}, nil
}

func run(ctx context.Context, cfg *Config, c check) []Result {
	if slices.Contains(cfg.Skip, c.id) {
		return []Result{{Check: c.id, Status: Skipped, Found: "by --skip"}}
	}
	if cfg.Progress != nil {
		cfg.Progress(c.id)
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	found, err := c.look(ctx, cfg)
	switch {
	case apierrors.IsForbidden(err):
		found = append(found, Result{Status: Skipped, Found: err.Error(), Mend: "run it as a cluster admin"})
	case err != nil:
		found = append(found, Result{Status: Failure, Found: err.Error()})
	case len(found) == 0:
		found = []Result{{Status: OK, Found: "nothing to mend"}}
	}
	for i := range found {
		found[i].Check = c.id
	}
	return found
}

func ok(format string, args ...any) []Result {
	return []Result{{Status: OK, Found: fmt.Sprintf(format, args...)}}
}

func skipped(found, mend string) []Result {
	return []Result{{Status: Skipped, Found: found, Mend: mend}}
}

// Print prints a report for people.
func (r *Report) Print(w io.Writer) error {
	tones := map[Status]output.Tone{OK: output.Good, Note: output.Good, Skipped: output.Doubtful, Warning: output.Doubtful, Failure: output.Bad}
	count := map[Status]int{}
	for _, is := range r.Results {
		count[is.Status]++
		word := fmt.Sprintf("%-8s", is.Status) // colours would count as width
		fmt.Fprintf(w, "%s %-18s %s\n", output.Paint(w, tones[is.Status], word), is.Check, output.Line(is.Found))
		if is.Mend != "" {
			fmt.Fprintf(w, "%-8s %-18s -> %s\n", "", "", output.Line(is.Mend))
		}
	}
	var counts []string
	for _, s := range slices.Backward(statuses) {
		if n := count[s]; n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, s))
		}
	}
	fmt.Fprintf(w, "\n%s\n", strings.Join(counts, ", "))
	return nil
}
