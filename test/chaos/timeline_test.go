package main

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestWhatIsCalmAndWhatStarves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var line timeline
		began := time.Now()
		pass := func(f fault, lasts time.Duration) {
			end := line.begin(f)
			time.Sleep(lasts)
			end()
		}
		time.Sleep(10 * time.Second)
		pass(fault{Kind: "sidecar-kill", Lane: "k14c1", Replica: 1}, 5*time.Second)
		time.Sleep(10 * time.Second)
		pass(fault{Kind: "issuer-cut", Lane: storageLane}, 5*time.Second)
		time.Sleep(10 * time.Second)
		for _, want := range []struct {
			cluster string
			calm    time.Duration
		}{{"k14c1", 30 * time.Second}, {"k14c2", 35 * time.Second}} {
			if got := line.calm(want.cluster, began); got != want.calm {
				t.Errorf("%s: calm for %v, want %v", want.cluster, got, want.calm)
			}
		}
		at := func(second int) time.Time { return began.Add(time.Duration(second) * time.Second) }
		for _, test := range []struct {
			name     string
			from, to int
			while    time.Duration
			want     bool
		}{
			{"a killed replica leaves another", 10, 15, 0, false},
			{"the cut", 26, 28, 0, true},
			{"before the cut", 16, 24, 0, false},
			{"after the cut", 32, 35, 0, false},
			{"soon after the cut", 32, 35, 5 * time.Second, true},
		} {
			if got := line.starved("k14c1", at(test.from), at(test.to), test.while); got != test.want {
				t.Errorf("%s: starved is %v", test.name, got)
			}
		}
		line.begin(fault{Kind: "etcd-restart", Lane: "k14c1"})
		time.Sleep(time.Minute)
		if got := line.calm("k14c1", began); got != 30*time.Second {
			t.Errorf("with a fault in force: calm for %v", got)
		}
	})
}
