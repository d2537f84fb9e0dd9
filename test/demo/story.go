package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/bulkhead-dev/bulkhead/test/actors"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// story is what has happened so far, and the count of checks.
type story struct {
	out io.Writer
	env *cluster.Environment

	storage    *actors.StorageAdmin
	first      *actors.ClusterAdmin // of k14c1
	second     *actors.ClusterAdmin // of k14c2
	shop       *actors.Team         // namespace shop in k14c1
	bank       *actors.Team         // namespace bank in k14c1: the victim
	otherShop  *actors.Team         // namespace shop in k14c2
	bankVolume string               // handle of the bank's ledger

	passed, failed int
}

// neededActs is how many of the first acts all later ones build on.
const neededActs = 4

// errSkipped ends an act whose next steps make no sense after a failure.
var errSkipped = errors.New("the rest of this act was left out")

// tell plays all acts in order. An act that fails does not keep the others
// from being tried.
func (s *story) tell(ctx context.Context) {
	acts := []struct {
		title string
		play  func(context.Context) error
	}{
		{"A storage cluster with security on", s.secureStorage},
		{"Two compute clusters, registered and with Bulkhead installed", s.installBulkhead},
		{"Storage classes as people have them", s.applyClasses},
		{"App teams make claims and know nothing of all this", s.makeClaims},
		{"Clones and snapshots inside a namespace", s.reuseData},
		{"What a compute cluster holds opens nothing but its own volumes", s.tryRights},
		{"The thieves", s.steal},
		{"Tokens live one minute: watch them being replaced", s.watchRefresh},
		{"A namespace goes, and another one of its name comes", s.rebirth},
	}
	for i, act := range acts {
		if ctx.Err() != nil {
			return
		}
		s.line("\n== %d. %s", i+1, act.title)
		began := time.Now()
		if err := act.play(ctx); err != nil && ctx.Err() == nil {
			if !errors.Is(err, errSkipped) {
				s.fail("this act can be played", err)
			}
			if i < neededActs {
				s.line("   later acts build on this one, so the story ends here")
				return
			}
		}
		s.line("   (%.0f s)", time.Since(began).Seconds())
	}
}

// indented puts lines of others into the story.
type indented struct{ out io.Writer }

func (w indented) Write(line []byte) (int, error) {
	_, err := fmt.Fprintf(w.out, "   %s", line)
	return len(line), err
}

func (s *story) line(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }

// say prints a line of the story.
func (s *story) say(format string, args ...any) { s.line("   "+format, args...) }

// show prints text line by line, indented.
func (s *story) show(text string) {
	for l := range strings.Lines(strings.TrimSpace(text)) {
		s.line("      | %s", strings.TrimRight(l, "\n"))
	}
}

// check counts and prints one claim of the story, and reports whether it holds.
func (s *story) check(claim string, err error) bool {
	if err != nil {
		s.fail(claim, err)
		return false
	}
	s.passed++
	s.line("   ok    %s", claim)
	return true
}

func (s *story) fail(claim string, err error) {
	s.failed++
	s.line("   FAIL  %s\n           %v", claim, err)
}

// need is check for what the rest of the act cannot do without.
func (s *story) need(claim string, err error) error {
	if !s.check(claim, err) {
		return errSkipped
	}
	return nil
}

// refusedByStorage checks that the storage cluster itself said no.
func (s *story) refusedByStorage(claim string, err error) {
	if s.check(claim, actors.Refused(err)) {
		s.show(err.Error())
	}
}

// refusedByWebhook checks that admission said no, by which rule.
func (s *story) refusedByWebhook(claim, rule string, err error) {
	switch {
	case err == nil:
		s.fail(claim, errors.New("it was admitted"))
	case !strings.Contains(err.Error(), rule+":"):
		s.fail(claim, fmt.Errorf("not refused by %s: %w", rule, err))
	default:
		s.check(claim, nil)
		s.show(err.Error())
	}
}

// equal is an error unless both are the same.
func equal[T comparable](what string, got, want T) error {
	if got != want {
		return fmt.Errorf("%s is %v, want %v", what, got, want)
	}
	return nil
}
