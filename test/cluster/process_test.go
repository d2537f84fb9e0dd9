package cluster

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// shell is a supervisor's process that runs a script.
func shell(script string, ready func(context.Context) error) spec {
	return spec{name: "shell", path: "/bin/sh", args: []string{"-c", script}, ready: ready}
}

func testSupervisor(t *testing.T) *supervisor {
	t.Helper()
	dir := t.TempDir()
	if _, err := makeFolder(dir + "/logs"); err != nil {
		t.Fatal(err)
	}
	s := newSupervisor(dir)
	t.Cleanup(s.stop)
	return s
}

func TestAnUnaskedEndIsReportedWithTheLog(t *testing.T) {
	s := testSupervisor(t)
	if _, err := s.start(t.Context(), shell("echo the reason >&2; exit 3", nil)); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-s.failed:
		for _, want := range []string{"shell ended unasked", "exit status 3", "the reason"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q lacks %q", err, want)
			}
		}
	case <-time.After(readyTimeout):
		t.Fatal("not reported")
	}
}

func TestWhatEndsBeforeItIsReadyIsNotWaitedFor(t *testing.T) {
	s := testSupervisor(t)
	never := func(context.Context) error { return errors.New("no answer") }
	_, err := s.start(t.Context(), shell("echo bad flag; exit 2", never))
	if err == nil || !strings.Contains(err.Error(), "it ended") || !strings.Contains(err.Error(), "bad flag") {
		t.Errorf("got %v", err)
	}
}

func TestAProcessIsStoppedAndStartedAgain(t *testing.T) {
	s := testSupervisor(t)
	p, err := s.start(t.Context(), shell("exec sleep 600", nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context()); err == nil {
		t.Error("it was started twice")
	}
	for _, end := range []func(){p.Stop, p.Kill, p.Stop} {
		end()
		if p.Running() {
			t.Fatal("it still runs")
		}
		if err := p.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s.stop()
	if err := p.Start(t.Context()); err == nil {
		t.Error("it was started after the end")
	}
	select {
	case err := <-s.failed:
		t.Errorf("an end that was asked for was reported: %v", err)
	default:
	}
}

func TestStoppingEndsTheStubbornAndTheirChildren(t *testing.T) {
	s := testSupervisor(t)
	deaf := func(context.Context) error {
		_, err := os.Stat(filepath.Join(s.dir, "deaf"))
		return err
	}
	if _, err := s.start(t.Context(), shell("trap '' TERM; touch deaf; sleep 600 & sleep 600", deaf)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	s.stop()
	if took := time.Since(began); took < stopGrace || took > readyTimeout {
		t.Errorf("stopping took %v", took)
	}
	err := Poll(t.Context(), 5*time.Second, func(context.Context) error {
		left, err := Leftovers(s.dir)
		if err == nil && len(left) > 0 {
			err = errors.New("processes are left")
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestWhatEndsByItselfIsStartedAgainUnlessItCrashed(t *testing.T) {
	s := testSupervisor(t)
	what := shell("exit 1", nil)
	what.restarts = true
	p, err := s.start(t.Context(), what)
	if err != nil {
		t.Fatal(err)
	}
	if err := Poll(t.Context(), readyTimeout, func(context.Context) error {
		if p.Restarts() < 2 {
			return errors.New("it is not started again")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	p.Stop()
	seen := p.Restarts()
	<-time.After(2 * restartDelay)
	if p.Running() || p.Restarts() != seen {
		t.Error("it is started again although it was stopped")
	}
	what = shell("echo; echo panic: on purpose; exit 2", nil)
	what.name, what.restarts = "panics", true
	if _, err := s.start(t.Context(), what); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-s.failed:
		if !strings.Contains(err.Error(), "on purpose") {
			t.Errorf("got %v", err)
		}
	case <-time.After(readyTimeout):
		t.Fatal("a crash is not reported")
	}
}

func TestAProcessSeesItsOwnHostname(t *testing.T) {
	s := testSupervisor(t)
	what := shell(`test "$(hostname)" = replica-1 && exec sleep 600`, nil)
	what.hostname = "replica-1"
	p, err := s.start(t.Context(), what)
	if err != nil {
		t.Fatal(err)
	}
	err = Poll(t.Context(), readyTimeout, func(context.Context) error {
		children, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/comm")
		if err == nil && strings.TrimSpace(string(children)) != "sleep" {
			err = errors.New("it is not that far: " + string(children))
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	own, err := os.Hostname()
	if err != nil || own == "replica-1" {
		t.Errorf("the machine is called %q now, %v", own, err)
	}
}
