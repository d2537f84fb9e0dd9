// Command metrics writes the reference of the metrics of every binary, from the
// collectors that they register, in Markdown.
package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bulkhead-dev/bulkhead/certs"
	"github.com/bulkhead-dev/bulkhead/issuer"
	"github.com/bulkhead-dev/bulkhead/sidecar"
	"github.com/bulkhead-dev/bulkhead/webhook"
)

const head = `<!-- written by hack/docs: change the metrics' own help -->
# Metrics

What each binary exports of its own on its http endpoint under ` + "`/metrics`" + `. The Go runtime's, the process's and, of the sidecar, csi-lib-utils' metrics of calls come on top. No label holds a name that a user chooses, a tenant or a token. What to do about an alert: [alerts.md](alerts.md).
`

func main() {
	if err := write(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "metrics:", err)
		os.Exit(1)
	}
}

func write(w io.Writer) error {
	fmt.Fprint(w, head)
	for _, binary := range []struct {
		name     string
		describe []func(prometheus.Registerer)
	}{
		{"Issuer", []func(prometheus.Registerer){issuer.DescribeMetrics}},
		{"Sidecar, its leader", []func(prometheus.Registerer){sidecar.DescribeMetrics}},
		{"Webhook", []func(prometheus.Registerer){webhook.DescribeMetrics, certs.DescribeMetrics}},
	} {
		var all collected
		for _, describe := range binary.describe {
			describe(&all)
		}
		fmt.Fprintf(w, "\n## %s\n| metric | type | labels | what it says |\n|---|---|---|---|\n", binary.name)
		rows, err := all.rows()
		if err != nil {
			return err
		}
		for _, r := range rows {
			fmt.Fprintf(w, "| `%s` | %s | %s | %s |\n", r.name, r.kind, r.labels, r.help)
		}
	}
	return nil
}

// collected are collectors that are registered and never collected.
type collected []prometheus.Collector

// Register implements prometheus.Registerer.
func (c *collected) Register(one prometheus.Collector) error {
	*c = append(*c, one)
	return nil
}

// MustRegister implements prometheus.Registerer.
func (c *collected) MustRegister(all ...prometheus.Collector) { *c = append(*c, all...) }

// Unregister implements prometheus.Registerer.
func (c *collected) Unregister(prometheus.Collector) bool { return false }

type row struct{ name, kind, labels, help string }

// text is what a Desc says of itself; it has no other way to be asked.
var text = regexp.MustCompile(`^Desc\{fqName: "([^"]+)", help: "(.*?)"(?:, unit: ".*")?, constLabels: \{.*\}, variableLabels: \{(.*)\}\}$`)

func (c *collected) rows() ([]row, error) {
	var rows []row
	for _, one := range *c {
		descs := make(chan *prometheus.Desc)
		go func() {
			defer close(descs)
			one.Describe(descs)
		}()
		for desc := range descs {
			parts := text.FindStringSubmatch(desc.String())
			if parts == nil {
				return nil, fmt.Errorf("cannot read %s", desc)
			}
			labels := ""
			if parts[3] != "" {
				labels = "`" + strings.ReplaceAll(parts[3], ",", "`, `") + "`"
			}
			rows = append(rows, row{parts[1], kindOf(one, parts[1]), labels, strings.ReplaceAll(parts[2], "|", `\|`)})
		}
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.name, b.name) })
	return rows, nil
}

func kindOf(c prometheus.Collector, name string) string {
	switch c.(type) {
	case *prometheus.HistogramVec, prometheus.Histogram:
		// A Gauge and a Counter have no Observe.
		return "histogram"
	case *prometheus.CounterVec:
		return "counter"
	}
	if strings.HasSuffix(name, "_total") {
		return "counter"
	}
	return "gauge"
}
