package main

import (
	"slices"
	"testing"
	"time"
)

// full is the length of the long form.
const full = 10 * time.Minute

func lanes(t *testing.T, names string) []lane {
	t.Helper()
	lanes, err := lanesOf(clusterNames, names)
	if err != nil {
		t.Fatal(err)
	}
	return lanes
}

func TestTheSameSeedDrawsTheSameSchedule(t *testing.T) {
	first, again := schedule(7, full, lanes(t, "")), schedule(7, full, lanes(t, ""))
	if !slices.Equal(first, again) {
		t.Errorf("two schedules of one seed differ:\n%v\n%v", first, again)
	}
	if other := schedule(8, full, lanes(t, "")); slices.Equal(first, other) {
		t.Error("two seeds draw the same schedule")
	}
}

func TestALongerRunBeginsAsAShorterOne(t *testing.T) {
	short := schedule(7, 2*time.Minute, lanes(t, ""))
	if long := schedule(7, full, lanes(t, "")); !slices.Equal(short, long[:len(short)]) {
		t.Errorf("2 minutes: %v\n10 minutes: %v", short, long[:len(short)])
	}
}

func TestEveryKindBefallsEveryLaneThatHasItWithin10Minutes(t *testing.T) {
	for seed := range uint64(50) {
		came := map[string]map[string]bool{}
		for _, f := range schedule(seed, full, lanes(t, "")) {
			if came[f.Lane] == nil {
				came[f.Lane] = map[string]bool{}
			}
			came[f.Lane][f.Kind] = true
		}
		for _, l := range lanes(t, "") {
			for _, k := range l.kinds {
				if !came[l.name][k.name] {
					t.Errorf("seed %d: no %s in %s", seed, k.name, l.name)
				}
			}
		}
	}
}

func TestFaultsOfALaneLeaveRoomToRecover(t *testing.T) {
	for seed := range uint64(50) {
		ends := map[string]time.Duration{}
		for _, f := range schedule(seed, full, lanes(t, "")) {
			if end, before := ends[f.Lane]; before && f.At < end+leastRoom {
				t.Errorf("seed %d: %s comes %v after the one before it in its lane", seed, f, f.At-end)
			}
			k := kindNamed(f.Kind)
			if f.Lasts < shortest || f.Lasts > k.longest(f.Replica) || f.Replica < 0 || f.Replica > k.oneOf || f.At+f.Lasts > full {
				t.Errorf("seed %d: %s is out of bounds", seed, f)
			}
			ends[f.Lane] = f.At + f.Lasts
		}
	}
}

func TestOneReplicaAndAllAreBefallen(t *testing.T) {
	hit := map[int]bool{}
	for _, f := range schedule(7, full, lanes(t, "issuer-kill")) {
		if f.Kind != "issuer-kill" {
			t.Fatalf("%s is none of the kinds that were chosen", f)
		}
		hit[f.Replica] = true
	}
	if len(hit) != replicas+1 {
		t.Errorf("it befell %v, want all, the first and the second", hit)
	}
}

func TestAnUnknownKindIsRefused(t *testing.T) {
	if _, err := lanesOf(clusterNames, "issuer-kill,flood"); err == nil {
		t.Error("want an error")
	}
}
