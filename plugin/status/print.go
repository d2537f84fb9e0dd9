package status

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/bulkhead-dev/bulkhead/plugin/output"
)

// Print prints a report for people, as of now.
func (r *Report) Print(w io.Writer, now time.Time) error {
	for _, line := range r.header(now) {
		fmt.Fprintf(w, "%-12s %s\n", line[0]+":", output.Line(line[1]))
	}
	for _, problem := range r.Problems {
		fmt.Fprintf(w, "%s %s\n", output.Paint(w, output.Bad, "Problem:"), output.Line(problem))
	}
	for _, what := range r.Unread {
		fmt.Fprintf(w, "%s %s\n", output.Paint(w, output.Doubtful, "Not read:"), output.Line(what))
	}
	fmt.Fprintln(w)
	table := output.NewColumns(w, "NAMESPACE", "TENANT", "SUBJECT", "TOKEN", "EXPIRES IN", "REFRESHED", "VOLUMES", "PROBLEMS")
	for _, n := range r.Namespaces {
		expires, refreshed := "", ""
		if n.Expires != nil {
			expires = lasting(n.Expires.Sub(now))
		}
		if n.LastRefresh != nil {
			refreshed = lasting(now.Sub(*n.LastRefresh)) + " ago"
		}
		table.Row(n.Name, n.Tenant, n.Subject, string(n.State), expires, refreshed, strconv.Itoa(n.Volumes), strings.Join(n.Problems, "; "))
	}
	return table.Flush()
}

func (r *Report) header(now time.Time) [][2]string {
	c := r.Cluster
	credential := "unknown"
	if c.CredentialExpires != nil {
		credential = "expires in " + lasting(c.CredentialExpires.Sub(now))
	}
	serving := ""
	if c.WebhookReplicas > 0 {
		serving = fmt.Sprintf(", %d of %d replicas serve", c.WebhookReady, c.WebhookReplicas)
	}
	return [][2]string{
		{"Bulkhead", c.Version},
		{"Cluster", orUnknown(c.Name)},
		{"Driver", orUnknown(c.Driver)},
		{"Issuer", c.Issuer + ", for storage cluster " + c.StorageCluster},
		{"Credential", credential},
		{"Tokens", "placement " + c.Placement},
		{"Leader", orUnknown(c.Leader)},
		{"Webhook", c.WebhookMode + serving},
	}
}

func orUnknown(text string) string {
	if text == "" {
		return "unknown"
	}
	return text
}

// lasting is a duration as kubectl shows ages; one that is over is 0s.
func lasting(d time.Duration) string { return duration.HumanDuration(max(d, 0)) }
