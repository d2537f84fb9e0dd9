// Package attacks plays the threats of docs/threats.md against real clusters:
// each folder of the corpus and each named test is a row. Where admission is the
// stop, a real API server says no; where the token is the stop, the real storage
// cluster does. README.md tells how the corpus is written and run.
package attacks

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/bulkhead-dev/bulkhead/test/actors"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

var stage actors.Stage

func TestMain(m *testing.M) {
	stage.Installations = map[string]cluster.Installation{
		"k14c1": {Values: "webhook: {rules: {exemptNamespaces: [" + exempt + "]}}"},
	}
	os.Exit(actors.RunOnStage(m, &stage, cluster.DefaultTokenLife, "k14c1", "k14c2"))
}

// newTeam makes a team in a namespace of its own in one of the clusters.
func newTeam(t *testing.T, admin *actors.ClusterAdmin) *actors.Team {
	t.Helper()
	team, err := admin.NewTeam(t.Context(), uniqueName(t))
	if err != nil {
		t.Fatal(err)
	}
	return team
}

// victim is a team in the first cluster with one volume, and the volume.
func victim(t *testing.T) (team *actors.Team, handle string) {
	t.Helper()
	team = newTeam(t, stage.Admins[0])
	handles, err := team.MakeBound(t.Context(), team.Claim("ledger", actors.CSIClass))
	if err != nil {
		t.Fatal(err)
	}
	return team, handles[0]
}

// thieves are a team in the victim's cluster and one in another.
func thieves(t *testing.T) map[string]*actors.Team {
	t.Helper()
	return map[string]*actors.Team{
		"from the same cluster":  newTeam(t, stage.Admins[0]),
		"from the other cluster": newTeam(t, stage.Admins[1]),
	}
}

// wantDenied fails unless the error is a denial by that rule.
func wantDenied(t *testing.T, err error, rule string) {
	t.Helper()
	if err == nil {
		t.Fatalf("admitted, want a denial by %s", rule)
	}
	if !strings.Contains(err.Error(), rule+":") {
		t.Fatalf("want a denial by %s, got: %v", rule, err)
	}
}

// wantRefused fails unless the storage cluster refused.
func wantRefused(t *testing.T, what string, err error) {
	t.Helper()
	if err := actors.Refused(err); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

var teams atomic.Int32

// uniqueName makes a namespace name out of the test's id, e.g. "a1-7".
func uniqueName(t *testing.T) string {
	t.Helper()
	id, _, _ := strings.Cut(strings.TrimPrefix(t.Name(), "Test"), "_")
	return fmt.Sprintf("%.20s-%d", strings.ToLower(id), teams.Add(1))
}
