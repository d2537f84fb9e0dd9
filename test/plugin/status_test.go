package plugin

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/plugin/inspect"
	"github.com/bulkhead-dev/bulkhead/plugin/status"
	"github.com/bulkhead-dev/bulkhead/storage"
	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/actors"
)

// wantStatus fails unless the status is that of a cluster where all is well, and
// tells of what is not.
func (f *former) wantStatus(t *testing.T) {
	t.Helper()
	var report status.Report
	out := f.must(t, t.TempDir(), "status", "-o", "json")
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	c := report.Cluster
	if c.Name != f.admin.Compute.Name || c.Driver != tenancy.CSIDriver || c.Leader == "" || c.CredentialExpires == nil ||
		c.WebhookMode != "enforce" || len(c.Conditions) != 3 || report.HasProblems() || len(report.Unread) > 0 {
		t.Errorf("status: %s", out)
	}
	for _, team := range []*actors.Team{f.shop, f.bank} {
		at := slices.IndexFunc(report.Namespaces, func(n status.Namespace) bool { return n.Name == team.Namespace.Name })
		if at < 0 {
			t.Errorf("status does not tell of %s: %s", team.Namespace.Name, out)
			continue
		}
		n := report.Namespaces[at]
		if n.Subject != team.Subject() || n.State != status.Fresh || n.Volumes != 5 || n.Expires == nil || n.ExpiresIn <= 0 || n.LastRefresh == nil {
			t.Errorf("status of %s: %+v", n.Name, n)
		}
	}
	if table := f.must(t, t.TempDir(), "status", "-n", "shop"); !strings.Contains(table, f.shop.Subject()) || strings.Contains(table, f.bank.Subject()) {
		t.Errorf("status of one namespace:\n%s", table)
	}
	for name, args := range map[string][]string{
		"a namespace that is not there": {"status", "-n", "nowhere"},
		"no installation":               {"status", "--bulkhead-namespace", "kube-system"},
		"no rights":                     {"status", "--as", "nobody"},
	} {
		if out, code, err := f.bulkhead(t.Context(), t.TempDir(), args...); code != 2 {
			t.Errorf("%s: exit %d (%v): %s", name, code, err, out)
		}
	}
}

// wantToken fails unless the token of a namespace is shown as far as it may be.
func (f *former) wantToken(t *testing.T) {
	t.Helper()
	token, err := f.shop.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var shown strings.Builder
	for _, format := range []string{"json", "yaml", "table"} {
		out := f.must(t, t.TempDir(), "token", "inspect", "-n", "shop", "-o", format)
		shown.WriteString(out)
		var report inspect.Report
		if format != "json" {
			continue
		}
		if err := json.Unmarshal([]byte(out), &report); err != nil {
			t.Fatal(err)
		}
		if report.Subject != f.shop.Subject() || report.Verdict != inspect.Accepted || len(report.Problems) > 0 || !slices.Equal(report.Roles, []string{storage.TenantRole}) {
			t.Errorf("token of shop: %s", out)
		}
	}
	f.wantWrongToken(t, &shown)
	for part := range strings.SplitSeq(token, ".") {
		if strings.Contains(shown.String(), part) {
			t.Error("a part of the token is shown")
		}
	}
}

// wantWrongToken puts the shared token where the bank's is, and what is none, and
// fails unless that is told.
func (f *former) wantWrongToken(t *testing.T, shown *strings.Builder) {
	t.Helper()
	var shared corev1.Secret
	if err := f.admin.Get(t.Context(), client.ObjectKey{Namespace: sharedSecret.Namespace, Name: sharedSecret.Name}, &shared); err != nil {
		t.Fatal(err)
	}
	ref := f.admin.Layout.TokenSecret("bank")
	f.admin.Compute.Process("bulkhead-sidecar").Stop() // it would put it right at once
	defer func() {
		if err := f.admin.Compute.Process("bulkhead-sidecar").Start(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	var good corev1.Secret
	if err := f.admin.Get(t.Context(), client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}, &good); err != nil {
		t.Fatal(err)
	}
	right := good.Data[tenancy.TokenKey]
	for _, wrong := range []struct {
		token []byte
		says  string
	}{
		{shared.Data[tenancy.TokenKey], "the subject is not that of this namespace"},
		{[]byte("not.a.token-" + string(right)), "is no JWT"},
		{nil, "takes its caller for a guest"},
	} {
		good.Data = map[string][]byte{tenancy.TokenKey: wrong.token}
		if err := f.admin.Update(t.Context(), &good); err != nil {
			t.Fatal(err)
		}
		out, code, err := f.bulkhead(t.Context(), t.TempDir(), "token", "inspect", "-n", "bank")
		if code != 1 || !strings.Contains(out, wrong.says) {
			t.Errorf("exit %d (%v), want 1 and %q in:\n%s", code, err, wrong.says, out)
		}
		shown.WriteString(out)
		for part := range strings.SplitSeq(string(right), ".") {
			if strings.Contains(out, part) {
				t.Error("a part of a token is shown")
			}
		}
	}
	good.Data = map[string][]byte{tenancy.TokenKey: right}
	if err := f.admin.Update(t.Context(), &good); err != nil {
		t.Fatal(err)
	}
}
