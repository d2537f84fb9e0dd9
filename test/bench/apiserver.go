package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/bulkhead-dev/bulkhead/test/bench/creation"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// apiserver is the creation of claims through real API servers.
func apiserver(ctx context.Context, s *session) ([]row, error) {
	binaries, err := cluster.Build(ctx, s.progress)
	if err != nil {
		return nil, err
	}
	nothing, hand, minimal, layers := creation.Nothing.Name, creation.ByHand.Name, creation.Minimal.Name, creation.LayersByHand.Name
	bulkhead, alone := creation.Bulkhead.Name, creation.WebhookAlone.Name
	const (
		overByHand  = 1.3
		overMinimal = 1.1
		overNothing = 1.5 // of p99
	)
	return raceOf(ctx, s, binaries, race{
		kinds: []creation.Kind{creation.Nothing, creation.ByHand, creation.LayersByHand, creation.Minimal, creation.Bulkhead, creation.WebhookAlone},
		lanes: []lane{
			{nothing, creation.Plain},
			{hand, creation.Plain},
			{layers, creation.Plain},
			{bulkhead, creation.Plain},
			{minimal, creation.Plain},
			{alone, creation.Plain},
			{nothing, creation.Clone},
			{minimal, creation.Clone},
			{layers, creation.Clone},
			{bulkhead, creation.Clone},
		},
		added: []addition{
			{lane{bulkhead, creation.Plain}, lane{hand, creation.Plain}, overByHand},
			{lane{bulkhead, creation.Plain}, lane{layers, creation.Plain}, 0},
			{lane{bulkhead, creation.Clone}, lane{minimal, creation.Clone}, overMinimal},
			{lane{bulkhead, creation.Clone}, lane{layers, creation.Clone}, 0},
			{lane{alone, creation.Plain}, lane{minimal, creation.Plain}, overMinimal},
		},
		tails: map[lane]float64{{bulkhead, creation.Plain}: overNothing},
	})
}

// peers is the same against Kyverno, which takes minutes to build.
func peers(ctx context.Context, s *session) ([]row, error) {
	binaries, err := cluster.BuildPeers(ctx, s.progress)
	if err != nil {
		return nil, err
	}
	nothing, kyverno, layers := creation.Nothing.Name, creation.Kyverno.Name, creation.LayersByHand.Name
	bulkhead, alone := creation.Bulkhead.Name, creation.WebhookAlone.Name
	const (
		aFifth      = 0.2
		overThePeer = 1.0
	)
	return raceOf(ctx, s, binaries, race{
		kinds: []creation.Kind{creation.Nothing, creation.Kyverno, creation.LayersByHand, creation.Bulkhead, creation.WebhookAlone},
		lanes: []lane{
			{nothing, creation.Plain},
			{layers, creation.Plain},
			{bulkhead, creation.Plain},
			{alone, creation.Plain},
			{kyverno, creation.Plain},
			{nothing, creation.Clone},
			{layers, creation.Clone},
			{bulkhead, creation.Clone},
			{kyverno, creation.Clone},
		},
		added: []addition{
			{lane{bulkhead, creation.Plain}, lane{kyverno, creation.Plain}, aFifth},
			{lane{layers, creation.Plain}, lane{kyverno, creation.Plain}, 0},
			{lane{bulkhead, creation.Clone}, lane{kyverno, creation.Clone}, overThePeer},
			{lane{alone, creation.Plain}, lane{kyverno, creation.Plain}, overThePeer},
		},
	})
}

// lane is a kind of claim at an API server with something at admission, by the name
// of that.
type lane struct {
	at    string
	claim creation.Claim
}

func (l lane) String() string { return fmt.Sprintf("%s, %s", l.claim, l.at) }

// race is what is created in turns.
type race struct {
	kinds []creation.Kind
	lanes []lane
	// added compares what one lane takes more than the same claims with nothing at
	// admission with what another lane does.
	added []addition
	// tails are targets for p99 against nothing.
	tails map[lane]float64
}

type addition struct {
	is, other lane
	target    float64
}

// heat is how many claims each lane creates in a round.
type heat struct {
	clients int
	// Lanes take turns of that many claims, in an order drawn anew each time: other
	// work on the machine then hits all alike.
	turns, claims int
}

func heats() []heat {
	return []heat{{clients: 1, turns: 10, claims: 50}, {clients: 8, turns: 5, claims: 200}, {clients: 64, turns: 3, claims: 512}}
}

// warmUp is how many claims each lane creates before anything counts.
const warmUp = 300

// times are what each round measured of a lane at a number of clients.
type times struct {
	medians   []float64 // milliseconds
	rates     []float64 // creations a second
	processor []float64 // milliseconds a creation
	durations []time.Duration
}

func raceOf(ctx context.Context, s *session, binaries *cluster.Binaries, r race) (rows []row, err error) {
	stage, err := creation.NewStage(ctx, binaries, s.progress)
	if err != nil {
		return nil, err
	}
	defer func() {
		stage.Clear()
		if err == nil {
			err = os.RemoveAll(stage.Dir())
		}
	}()
	contenders := map[string]*creation.Contender{}
	for _, kind := range r.kinds {
		if contenders[kind.Name], err = stage.Start(ctx, kind); err != nil {
			return nil, err
		}
	}
	for _, l := range r.lanes {
		if _, err := contenders[l.at].Create(ctx, l.claim, 1, warmUp); err != nil {
			return nil, err
		}
	}
	measured := map[heat]map[lane]*times{}
	for _, h := range heats() {
		measured[h] = map[lane]*times{}
		for _, l := range r.lanes {
			measured[h][l] = &times{}
		}
	}
	for round := range s.rounds {
		fmt.Fprintf(s.progress, "creation: round %d of %d\n", round+1, s.rounds)
		for _, h := range heats() {
			if err := h.run(ctx, contenders, measured[h]); err != nil {
				return nil, err
			}
		}
	}
	select {
	case err := <-stage.Failed():
		return nil, err
	default:
	}
	for _, h := range heats() {
		rows = append(rows, r.rows(h, measured[h])...)
	}
	return rows, nil
}

// run is one round.
func (h heat) run(ctx context.Context, contenders map[string]*creation.Contender, measured map[lane]*times) error {
	var lanes []lane
	samples := map[lane]creation.Sample{}
	processor := map[lane]time.Duration{}
	for l := range measured {
		lanes = append(lanes, l)
	}
	for range h.turns {
		rand.Shuffle(len(lanes), func(i, j int) { lanes[i], lanes[j] = lanes[j], lanes[i] })
		for _, l := range lanes {
			before, err := processorTime(contenders[l.at])
			if err != nil {
				return err
			}
			turn, err := contenders[l.at].Create(ctx, l.claim, h.clients, h.claims)
			if err != nil {
				return err
			}
			after, err := processorTime(contenders[l.at])
			if err != nil {
				return err
			}
			sum := samples[l]
			samples[l] = creation.Sample{Each: append(sum.Each, turn.Each...), All: sum.All + turn.All}
			processor[l] += after - before
		}
	}
	for l, sample := range samples {
		m := measured[l]
		m.processor = append(m.processor, milli(processor[l])/float64(len(sample.Each)))
		m.medians = append(m.medians, milli(percentile(sample.Each, 50)))
		m.rates = append(m.rates, float64(len(sample.Each))/sample.All.Seconds())
		m.durations = append(m.durations, sample.Each...)
	}
	return nil
}

func (r race) rows(h heat, measured map[lane]*times) []row {
	clients := "1 client"
	if h.clients > 1 {
		clients = fmt.Sprintf("%d clients", h.clients)
	}
	unguarded := func(l lane) *times { return measured[lane{creation.Nothing.Name, l.claim}] }
	added := func(l lane, of func(*times) []float64) []float64 {
		var more []float64
		for i, is := range of(measured[l]) {
			more = append(more, is-of(unguarded(l))[i])
		}
		return more
	}
	var rows []row
	for _, a := range r.added {
		medians := func(t *times) []float64 { return t.medians }
		rows = append(rows, row{
			what: fmt.Sprintf("create, %s: p50 that is added to a %s", clients, a.is), against: a.other.at, unit: "ms",
			is: added(a.is, medians), other: added(a.other, medians), target: a.target,
		})
	}
	// Steadier than what a client waits for, which is also what else the machine does.
	for _, a := range r.added {
		processor := func(t *times) []float64 { return t.processor }
		rows = append(rows, row{
			what: fmt.Sprintf("create, %s: processor time that is added to a %s", clients, a.is), against: a.other.at, unit: "ms",
			is: added(a.is, processor), other: added(a.other, processor),
		})
	}
	for _, l := range r.lanes {
		if l.at == creation.Nothing.Name {
			continue
		}
		m, nothing := measured[l], unguarded(l)
		compare := func(what, unit string, is, other []float64, target float64) {
			rows = append(rows, row{
				what: fmt.Sprintf("create, %s: %s of a %s", clients, what, l), against: creation.Nothing.Name, unit: unit,
				is: is, other: other, target: target,
			})
		}
		compare("p50", "ms", m.medians, nothing.medians, 0)
		// All rounds together: of a single one it would be that of a few claims.
		compare("p99", "ms", []float64{milli(percentile(m.durations, 99))}, []float64{milli(percentile(nothing.durations, 99))}, r.tails[l])
		compare("processor time", "ms", m.processor, nothing.processor, 0)
		if h.clients > 1 {
			compare("rate", "1/s", m.rates, nothing.rates, 0)
		}
	}
	return rows
}

// processorTime is what etcd, the API server and whom it asks have used so far.
func processorTime(c *creation.Contender) (time.Duration, error) {
	var sum time.Duration
	for _, p := range c.Processes {
		used, err := usageOf(p.PID())
		if err != nil {
			return 0, err
		}
		sum += used.cpu
	}
	return sum, nil
}

// percentile is the least that so many of a hundred do not exceed.
func percentile(durations []time.Duration, of int) time.Duration {
	sorted := slices.Sorted(slices.Values(durations))
	return sorted[(len(sorted)*of+99)/100-1]
}
