package main

import (
	"testing"

	"github.com/bulkhead-dev/bulkhead/test/actors"
)

func TestAVolumeIsOrphanedUnlessItsNameIsThatOfTwo(t *testing.T) {
	var each checks
	o := &orphans{owners: &owners{doubles: newDoubles()}, none: each.that("none")}
	volumes := []actors.Volume{
		{ID: "1", Name: "held"},
		{ID: "2", Name: "orphan"},
		{ID: "3", Name: "double"},
		{ID: "4", Name: "double"},
		{ID: "5", Name: "half-gone"},
	}
	for _, v := range append(volumes, actors.Volume{ID: "6", Name: "half-gone"}, volumes[1]) {
		o.owners.doubles.see(v)
	}
	got := o.unheld(holdings{owners: map[string]string{"1": "shop"}}, volumes)
	if len(got) != 1 || o.owners.doubles.left != 3 {
		t.Errorf("orphans are %q, and %d of a name of two", got, o.owners.doubles.left)
	}
}
