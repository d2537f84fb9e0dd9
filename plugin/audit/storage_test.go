package audit

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/libopenstorage/openstorage/api"

	"github.com/bulkhead-dev/bulkhead/storage"
)

// An owner is whatever a token says, or whoever may write the ownership of a volume
// of another cluster.
func TestAnOwnersNameRunsNothingInTheShellOfWhoCopiesTheMend(t *testing.T) {
	s := &scan{cluster: "k14c1"}
	for _, owner := range []string{"$(touch pwned)", "x; touch pwned", "'; touch pwned; '", "x\ntouch pwned\n", "`touch pwned`"} {
		findings := s.judgeVolume(&storage.Volume{ID: "123", Ownership: &api.Ownership{Owner: owner}}, nil)
		if len(findings) != 1 || findings[0].Rule != checkOpen {
			t.Fatalf("%q: %+v", owner, findings)
		}
		command, found := strings.CutPrefix(findings[0].Mend, "kubectl bulkhead ")
		if !found {
			t.Fatalf("the mend is %s", findings[0].Mend)
		}
		dir := t.TempDir()
		cmd := exec.CommandContext(t.Context(), "sh", "-c", "printf %s "+command)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil || !strings.HasSuffix(string(out), owner) {
			t.Errorf("%q reaches the command as %q (%v)", owner, out, err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%q ran a command (%v)", owner, err)
		}
	}
}
