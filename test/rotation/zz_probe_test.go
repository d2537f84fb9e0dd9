package rotation

import (
	"testing"
	"time"
)

func TestProbeRevokeShortlyBeforeAPlannedSwitch(t *testing.T) {
	s := newSite(t, 2)
	th := s.leak(t, s.issuers.FirstKey)
	s.keys(t, "rotate", "--lead", "40s")
	time.Sleep(4 * time.Second)
	// anybody's token of an unknown key makes the servers read the keys, the pending one among them
	odd := *th
	odd.kid = "unknown"
	if err := refused(t.Context(), odd.forge(t), s.nodes...); err != nil {
		t.Fatal(err)
	}
	s.keys(t, "revoke", "first")
	began := time.Now()
	for time.Since(began) < 90*time.Second {
		if refused(t.Context(), th.forge(t), s.nodes...) == nil {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	t.Logf("refused by both after %.1f s", time.Since(began).Seconds())
}
