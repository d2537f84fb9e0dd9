package main

import (
	"strings"
	"testing"
)

func TestWhatNobodyLookedAtHasNotHeld(t *testing.T) {
	var each checks
	each.that("what held").held()
	each.that("what nobody looked at")
	broken := each.that("what broke once")
	broken.held()
	broken.broken("by %s", "this")
	var said strings.Builder
	passed, failed := each.report(&said)
	if passed != 1 || failed != 2 {
		t.Errorf("%d passed and %d failed, want 1 and 2", passed, failed)
	}
	for _, want := range []string{"ok    what held", "FAIL  what nobody looked at", "FAIL  what broke once", "by this"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, &said)
		}
	}
}
