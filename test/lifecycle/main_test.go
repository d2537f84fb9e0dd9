// Package lifecycle follows tokens and classes through their lives on real
// clusters: refresh, restarts, outages, deleted namespaces, repeated applies.
package lifecycle

import (
	"os"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/test/actors"
)

var stage actors.Stage

// tokenLife is short enough to watch tokens being replaced.
const tokenLife = 20 * time.Second

func TestMain(m *testing.M) {
	os.Exit(actors.RunOnStage(m, &stage, tokenLife, "k14c1"))
}

func newTeam(t *testing.T, namespace string) *actors.Team {
	t.Helper()
	team, err := stage.Admins[0].NewTeam(t.Context(), namespace)
	if err != nil {
		t.Fatal(err)
	}
	return team
}
