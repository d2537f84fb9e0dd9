package attacks

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

var (
	layersFlag = flag.String("layers", "all", "what to run the corpus against: webhook, policies, both or all")
	caseFlag   = flag.String("case", "*/*", `cases of the corpus to run, e.g. "A4/*"; friendly ones as "friendly/*/*"`)
)

const (
	leastAttacks  = 150
	leastOfARow   = 3
	leastFriendly = 60
	// atOnce is how many cases run at the same time.
	atOnce = 8
)

// rows are the threats whose stop is an answer at admission, see docs/threats.md.
var rows = []string{
	"A1", "A2", "A3", "A4", "A5", "A6", "A7", "A8", "A9", "A10",
	"B1", "B2", "B3", "B4", "B5", "B6",
	"C1", "C2", "C3", "C4", "C5", "C6", "C7",
	"D1", "D2", "D3", "D4", "D5", "D6",
	"E3",
}

func TestTheCorpusIsLargeEnough(t *testing.T) {
	count := map[string]int{}
	for _, c := range corpus(t) {
		if !c.Attack() {
			count[friendlyFolder]++
			continue
		}
		count["attacks"]++
		count[c.Folder]++
		if !slices.Contains(rows, c.Folder) {
			t.Errorf("%s: no such row", c)
		}
	}
	for _, row := range rows {
		if count[row] < leastOfARow {
			t.Errorf("row %s has %d cases, want %d", row, count[row], leastOfARow)
		}
	}
	if count["attacks"] < leastAttacks || count[friendlyFolder] < leastFriendly {
		t.Errorf("%d attacks and %d friendly cases, want %d and %d", count["attacks"], count[friendlyFolder], leastAttacks, leastFriendly)
	}
}

func TestCorpus(t *testing.T) {
	cases := slices.DeleteFunc(corpus(t), func(c *Case) bool { return !c.chosen() })
	s := set(t)
	for _, l := range allLayers {
		if *layersFlag != "all" && *layersFlag != l.name {
			continue
		}
		t.Run(l.name, func(t *testing.T) {
			began := time.Now()
			undecideds.Store(0)
			performances, err := s.rehearse(t.Context(), cases, l.mark)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.in(t.Context(), l, func() error { s.play(t.Context(), performances, l); return nil }); err != nil {
				t.Error(err)
			}
			again := undecideds.Load()
			t.Logf("%d cases in %v, %d requests were repeated", len(performances), time.Since(began).Round(time.Second), again)
			// As many as are on their way while the machine stands still, twice.
			if again > 2*atOnce {
				t.Errorf("%d requests could not be decided at first: see the log of the webhook", again)
			}
			for _, p := range performances {
				t.Run(p.String(), func(t *testing.T) {
					if p.failure != nil {
						t.Errorf("%s: %s; but %v", p.Case, p.Why, p.failure)
					}
				})
			}
		})
	}
}

func corpus(t *testing.T) []*Case {
	t.Helper()
	cases, err := readCorpus("corpus")
	if err != nil {
		t.Fatal(err)
	}
	return cases
}

func set(t *testing.T) *scene {
	t.Helper()
	s, err := theScene()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (c *Case) chosen() bool {
	if *caseFlag == "*/*" {
		return true
	}
	match, err := path.Match(*caseFlag, c.String())
	return match && err == nil
}

// performance is a case with the names of one run.
type performance struct {
	*Case

	before, setup, tested, then []step
	// failure is why the case failed, nil if it did not.
	failure error
}

// rehearse makes all that the cases need before, with all of Bulkhead in force.
// What fails is left to the performance to tell.
func (s *scene) rehearse(ctx context.Context, cases []*Case, mark string) ([]*performance, error) {
	var performances []*performance
	old := false
	for _, c := range cases {
		p := &performance{Case: c}
		steps, err := c.steps(func(name string) (string, bool) {
			if name == "CASE" {
				return c.id() + "-" + mark, true
			}
			value, found := s.values[name]
			return value, found
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c, err)
		}
		for _, step := range steps {
			switch {
			case step.setup == beforeInstall:
				p.before = append(p.before, step)
				old = true
			case step.setup != "":
				p.setup = append(p.setup, step)
			case step.then != "":
				p.then = append(p.then, step)
			default:
				p.tested = append(p.tested, step)
			}
		}
		performances = append(performances, p)
	}
	prepareAll := func(steps func(*performance) []step) {
		together(performances, func(p *performance) {
			for _, step := range steps(p) {
				if p.failure == nil {
					p.failure = s.prepare(ctx, step)
				}
			}
		})
	}
	if old {
		err := s.asBeforeInstall(ctx, func() error {
			prepareAll(func(p *performance) []step { return p.before })
			return nil
		})
		if err != nil {
			return nil, err
		}
		if err := s.waitForAnswer(ctx, false, asked); err != nil {
			return nil, err
		}
	}
	prepareAll(func(p *performance) []step { return p.setup })
	return performances, s.classesAreListed(ctx)
}

// play tries every case and notes its failure.
func (s *scene) play(ctx context.Context, performances []*performance, l layers) {
	together(performances, func(p *performance) {
		if p.failure != nil {
			return
		}
		if !l.webhook && !p.Attack() && p.WithoutWebhook == "" {
			return // it may wait until the webhook is back
		}
		p.failure = s.try(ctx, p, l)
	})
}

func together(performances []*performance, do func(*performance)) {
	var group errgroup.Group
	group.SetLimit(atOnce)
	for _, p := range performances {
		group.Go(func() error {
			do(p)
			return nil
		})
	}
	_ = group.Wait() // failures are noted with the performances
}

// try returns why the case failed, nil if it did not.
func (s *scene) try(ctx context.Context, p *performance, l layers) error {
	for _, step := range p.tested {
		stored, err := p.act(ctx, s, step)
		if err != nil && !rejected(err) {
			return fmt.Errorf("no answer: %w", err)
		}
		if p.Expect == expectRefused {
			return s.wantRefused(ctx, p, step, err, l)
		}
		if err != nil && p.Attack() && !l.webhook {
			// The object would have been put right; to refuse it is as good.
			return p.refused(refusalOf(err), l, p.written(), s.secrets())
		}
		if err != nil {
			return fmt.Errorf("refused: %.600s", refusalOf(err).text)
		}
		if p.Expect == expectAdmitted && stored != nil {
			if err := p.untouched(step.object, stored); err != nil {
				return err
			}
		}
	}
	for _, step := range p.then {
		if err := s.verify(ctx, p.As, step); err != nil {
			return err
		}
	}
	return nil
}

func (s *scene) wantRefused(ctx context.Context, p *performance, step step, err error, l layers) error {
	switch {
	case err == nil && p.ThroughController:
		r, err := s.refusalByEvent(ctx, step.object)
		if err != nil {
			return err
		}
		return p.refused(r, l, p.written(), s.secrets())
	case err == nil:
		return errors.New("it was admitted")
	case p.ThroughController:
		return fmt.Errorf("refused before a controller acted on it: %.600s", refusalOf(err).text)
	default:
		return p.refused(refusalOf(err), l, p.written(), s.secrets())
	}
}

// written is all that whoever applies the object under test wrote.
func (p *performance) written() string {
	var text strings.Builder
	for _, step := range slices.Concat(p.before, p.setup, p.tested) {
		if step.setup != "" && step.setup != p.As {
			continue
		}
		for _, part := range []any{step.object.Object, step.patch} {
			// What was decoded can be encoded.
			raw, _ := json.Marshal(part)
			text.Write(raw)
		}
	}
	return text.String()
}
