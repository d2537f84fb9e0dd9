package certs

import (
	"testing"
	"time"
)

func TestCertificatesAreMadeByTheAPIServersClock(t *testing.T) {
	w := newWorld(t)
	var off time.Duration
	wrong := func(c *SelfConfig) { c.Offset = func() time.Duration { return off } }
	a, _ := w.replica()
	w.look(a)
	// Its own clock is a year ahead, and it knows.
	ahead := newWorld(t)
	ahead.api = w.api
	ahead.clock.SetTime(w.clock.Now().Add(4 * testLife))
	off = -4 * testLife
	b, _ := ahead.replica(wrong)
	w.look(b)
	if st := w.state(); st.next != nil || len(st.previous) != 0 {
		t.Error("it rotates by its own clock")
	}
	if err := w.trusts(b); err != nil {
		t.Error(err)
	}
}

func TestServerClock(t *testing.T) {
	var c ServerClock
	local := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, step := range []struct {
		date string
		want time.Duration
	}{
		{"", 0},
		{"Sun, 01 Mar 2026 12:00:20 GMT", 0},
		{"Sun, 01 Mar 2026 11:00:00 GMT", -time.Hour},
		{"yesterday", -time.Hour},
		{"Sun, 01 Mar 2026 12:00:01 GMT", 0},
	} {
		if c.hear(step.date, local); c.Offset() != step.want {
			t.Errorf("after %q the offset is %v, want %v", step.date, c.Offset(), step.want)
		}
	}
}
