package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/storage"
	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// sidecarWorkers is how many first tokens the sidecar works on at once, by its
// flag's default.
const sidecarWorkers = 10

// fewRounds and oneRound are for what takes long.
const (
	fewRounds = 3
	oneRound  = 1
)

// sidecar is the sidecar's binary with the chart's arguments, RBAC and all that a
// token passes through, against a loop that writes as many Secrets.
func sidecar(ctx context.Context, s *session) ([]row, error) {
	const (
		small, middle, large = 1_000, 10_000, 50_000
		overLoop             = 1.3
		memory               = 128
	)
	byChart := limits{perSecond: 50, burst: 100}
	none := limits{perSecond: 100_000, burst: 100_000}
	return onSite(ctx, s, func(ctx context.Context, env *cluster.Environment) ([]row, error) {
		f, err := newFleet(ctx, env)
		if err != nil {
			return nil, err
		}
		var rows []row
		for _, step := range []struct {
			namespaces, rounds int
			limits             limits
			how                string
			floor              bool
			memory             float64
		}{
			{small, oneRound, byChart, ", the chart's limits", false, 0},
			{small, s.rounds, none, "", true, 0},
			{middle, min(fewRounds, s.rounds), none, "", true, memory},
			{large, oneRound, none, "", false, 0},
		} {
			if err := f.grow(ctx, step.namespaces); err != nil {
				return nil, err
			}
			if err := f.limit(ctx, step.limits); err != nil {
				return nil, err
			}
			m := &minting{}
			for round := range step.rounds {
				fmt.Fprintf(s.progress, "sidecar: %d namespaces%s: round %d of %d\n", step.namespaces, step.how, round+1, step.rounds)
				if err := m.measure(ctx, f); err != nil {
					return nil, err
				}
				if step.floor {
					if err := m.measureFloor(ctx, f); err != nil {
						return nil, err
					}
				}
				if err := f.clear(ctx); err != nil {
					return nil, err
				}
			}
			rows = append(rows, m.rows(fmt.Sprintf("sidecar: %d namespaces%s", step.namespaces, step.how), overLoop, step.memory)...)
			if step.namespaces == small && step.limits == none {
				calls, err := refreshing(ctx, s, f)
				if err != nil {
					return nil, err
				}
				rows = append(rows, calls...)
			}
		}
		return rows, nil
	})
}

// minting is what each round measured.
type minting struct {
	// How long it took until each namespace had a token, in seconds: by the sidecar, by
	// a loop that only writes, and by one that exchanges, proves and writes.
	first, writes, calls []float64
	// Processor time for each token, in ms, by who used it: while the sidecar worked,
	// and while the loop wrote.
	spent, spentByLoop map[string][]float64
	// restart is how long a sidecar takes that finds all tokens fresh, in seconds.
	restart []float64
	// Memory at most while tokens were made, at most after the restart, and then, in
	// MiB.
	peak, restartPeak, resident []float64
}

// Who uses processor time.
const (
	byAPI     = "API server and etcd"
	byIssuer  = "issuer"
	byStorage = "storage cluster and CSI driver"
	bySidecar = "sidecar"
)

func (m *minting) rows(what string, target, memory float64) []row {
	const loop = "loop that only writes"
	rows := []row{
		{what: what + ": until all have a token", against: loop, unit: "s", is: m.first, other: m.writes, target: target},
		{what: what + ": for a token, " + byAPI, against: loop, unit: "ms of a core", is: m.spent[byAPI], other: m.spentByLoop[byAPI]},
	}
	if len(m.calls) > 0 {
		floor := row{what: rows[0].what, against: "loop that exchanges, proves and writes", unit: "s", is: m.first, other: m.calls}
		rows = slices.Insert(rows, 1, floor)
	}
	for _, who := range []string{byIssuer, byStorage, bySidecar} {
		rows = append(rows, row{what: what + ": for a token, " + who, unit: "ms of a core", is: m.spent[who]})
	}
	return append(rows,
		row{what: what + ": restart to steady", unit: "s", is: m.restart},
		row{what: what + ": resident at most, first tokens", unit: "MiB", is: m.peak, limit: memory},
		row{what: what + ": resident at most, after a restart", unit: "MiB", is: m.restartPeak, limit: memory},
		row{what: what + ": resident when steady", unit: "MiB", is: m.resident},
	)
}

// measure has the sidecar and the loops make the same Secrets, with the same rights
// and limits.
func (m *minting) measure(ctx context.Context, f *fleet) error {
	tokens := float64(len(f.namespaces))
	before, err := f.processorTimes()
	if err != nil {
		return err
	}
	took, err := f.firstTokens(ctx)
	if err != nil {
		return err
	}
	after, err := f.processorTimes()
	if err != nil {
		return err
	}
	own, err := usageOf(f.compute.Sidecar.PID())
	if err != nil {
		return err
	}
	m.first, m.peak = append(m.first, took.Seconds()), append(m.peak, own.peak)
	before[bySidecar], after[bySidecar] = 0, own.cpu
	m.spent = addSpent(m.spent, before, after, tokens)

	f.compute.Sidecar.Stop()
	if took, err = f.steady(ctx); err != nil {
		return err
	}
	if own, err = usageOf(f.compute.Sidecar.PID()); err != nil {
		return err
	}
	m.restart, m.restartPeak, m.resident = append(m.restart, took.Seconds()), append(m.restartPeak, own.peak), append(m.resident, own.resident)
	f.compute.Sidecar.Stop()

	secrets, err := f.secrets(ctx)
	if err != nil {
		return err
	}
	if err := f.clear(ctx); err != nil {
		return err
	}
	if before, err = f.processorTimes(); err != nil {
		return err
	}
	if took, err = f.loop(ctx, func(ctx context.Context, number int) error { return f.write(ctx, &secrets[number]) }); err != nil {
		return err
	}
	if after, err = f.processorTimes(); err != nil {
		return err
	}
	m.writes, m.spentByLoop = append(m.writes, took.Seconds()), addSpent(m.spentByLoop, before, after, tokens)
	return nil
}

// measureFloor has a loop make the tokens that are there again, by the calls that
// they cannot be had without.
func (m *minting) measureFloor(ctx context.Context, f *fleet) error {
	secrets, err := f.secrets(ctx)
	if err != nil {
		return err
	}
	if err := f.clear(ctx); err != nil {
		return err
	}
	one, hangUp, err := f.byHand(ctx, secrets)
	if err != nil {
		return err
	}
	defer hangUp()
	took, err := f.loop(ctx, one)
	if err != nil {
		return err
	}
	m.calls = append(m.calls, took.Seconds())
	return nil
}

// processorTimes are those that processes have used so far, but the sidecar.
func (f *fleet) processorTimes() (map[string]time.Duration, error) {
	all := map[string]time.Duration{}
	for who, processes := range map[string][]*cluster.Process{
		byAPI:     {f.compute.Process("apiserver"), f.compute.Process("etcd")},
		byIssuer:  {f.env.Storage.Issuer},
		byStorage: {f.env.Storage.Server, f.compute.Process("csinode")},
	} {
		for _, process := range processes {
			used, err := usageOf(process.PID())
			if err != nil {
				return nil, fmt.Errorf("%s: %w", process.Name, err)
			}
			all[who] += used.cpu
		}
	}
	return all, nil
}

func addSpent(all map[string][]float64, before, after map[string]time.Duration, tokens float64) map[string][]float64 {
	if all == nil {
		all = map[string][]float64{}
	}
	for who := range after {
		all[who] = append(all[who], milli(after[who]-before[who])/tokens)
	}
	return all
}

// loop does one thing for each namespace, as many at once as the sidecar.
func (f *fleet) loop(ctx context.Context, one func(context.Context, int) error) (time.Duration, error) {
	began := time.Now()
	err := inTurn(ctx, sidecarWorkers, len(f.namespaces), one)
	return time.Since(began), err
}

// byHand makes one token with the three calls that it cannot be had without: it is
// exchanged, proven and written, and nothing watches, schedules or remembers.
func (f *fleet) byHand(ctx context.Context, secrets []corev1.Secret) (one func(context.Context, int) error, hangUp func(), err error) {
	client, err := issuerClient(ctx, f.env, f.compute)
	if err != nil {
		return nil, nil, err
	}
	conn, err := grpc.NewClient("unix:"+f.compute.CSISocket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, nil, fmt.Errorf("connect to %s: %w", f.compute.CSISocket, err)
	}
	byName := map[string]*corev1.Secret{}
	for i := range secrets {
		byName[secrets[i].Name] = &secrets[i]
	}
	return func(ctx context.Context, number int) error {
		ns := f.namespaces[number]
		token, err := client.Exchange(ctx, tenancy.Of(ns.Name, string(ns.UID), ns.Labels))
		if err != nil {
			return err
		}
		if err := storage.ProbeCSI(ctx, conn, token.Raw); err != nil {
			return err
		}
		secret := byName[f.compute.Layout.TokenSecret(ns.Name).Name]
		secret.Data[tenancy.TokenKey] = []byte(token.Raw)
		return f.write(ctx, secret)
	}, func() { _ = conn.Close() }, nil
}
