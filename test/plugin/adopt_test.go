package plugin

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/plugin/audit"
	"github.com/bulkhead-dev/bulkhead/test/actors"
)

// TestAdopt is the migration of docs/migrate.md: from one shared token to a tenant
// a namespace.
func TestAdopt(t *testing.T) {
	f := before(t, "k14c1", true)
	f.install(t)

	stop := f.mountAllTheWhile(t)
	f.migrate(t, f.reader(t))
	stop()
	report, code := f.audit(t)
	if code != 0 || len(report.Findings) > 0 {
		t.Errorf("audit after adoption: exit %d\n%s", code, summary(report))
	}
	f.wantStatus(t)
	f.wantToken(t)
	f.wantRights(t)
	f.wantTerminal(t)
	shared := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: sharedSecret.Namespace, Name: sharedSecret.Name}}
	if err := f.admin.Delete(t.Context(), shared); err != nil {
		t.Fatal(err)
	}
	storage, err := actors.NewStorageAdmin(env.Storage)
	if err != nil {
		t.Fatal(err)
	}
	for _, team := range []*actors.Team{f.shop, f.bank} {
		if err := f.usable(t.Context(), storage, team); err != nil {
			t.Error(err)
		}
	}
}

// summary is a line for each finding.
func summary(r *audit.Report) string {
	count := map[string]int{}
	var text strings.Builder
	for _, f := range r.Findings {
		count[f.Rule]++
		fmt.Fprintf(&text, "%s %s %s: %v: %s; %s\n", f.Severity, f.Rule, f.Object, f.Fields, f.Message, f.Mend)
	}
	for _, rule := range slices.Sorted(maps.Keys(count)) {
		fmt.Fprintf(&text, "%d of %s\n", count[rule], rule)
	}
	return text.String() + fmt.Sprint(r.Checked, r.Unchecked)
}
