package plugin

import (
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// wantRights fails unless somebody who may look at volumes, and at hardly anything
// else, is told so at once, by each subcommand, and is not told that all is well.
func (f *former) wantRights(t *testing.T) {
	t.Helper()
	const narrow = "narrow"
	meta := metav1.ObjectMeta{Name: narrow}
	for _, object := range []client.Object{
		&rbacv1.ClusterRole{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"persistentvolumes", "namespaces", "configmaps"}, Verbs: []string{"get", "list"}},
		}},
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: narrow},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: narrow}},
		},
	} {
		if err := f.admin.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	const atOnce = 30 * time.Second
	for _, args := range [][]string{
		{"audit"}, {"status"}, {"token", "inspect", "-n", "shop"}, {"adopt", "pv", "--all", "--yes"}, {"adopt", "volume", "--all", "--yes", "--storage-token-file", tokenFile()},
	} {
		began := time.Now()
		out, code, err := f.bulkhead(t.Context(), t.TempDir(), append(args, "--as", narrow)...)
		if code != 2 || time.Since(began) > atOnce {
			t.Errorf("%v: exit %d after %v: %v\n%s", args, code, time.Since(began), err, out)
		}
		if code == 2 && args[0] != "status" && !strings.Contains(err.Error(), "forbidden") { // which says so in what it prints
			t.Errorf("%v: %v", args, err)
		}
	}
}
