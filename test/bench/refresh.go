package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// refreshing counts what the sidecar asks of the API server for each token that it
// replaces, over a time in which it replaces all of them.
func refreshing(ctx context.Context, s *session, f *fleet) ([]row, error) {
	const (
		life = "30s"
		// aCall is one write, and its part of what goes on whether tokens are replaced
		// or not: the lease and the status.
		aCall = 1.05
		// aRead is less than one read in the time, as a limit of zero is none.
		aRead = 1e-4
	)
	if err := setPolicy(ctx, f.env, map[string]any{"maxLife": life}); err != nil {
		return nil, err
	}
	var all, reads []float64
	for round := range min(fewRounds, s.rounds) {
		fmt.Fprintf(s.progress, "sidecar: refreshes of %d tokens: round %d\n", len(f.namespaces), round+1)
		if _, err := f.firstTokens(ctx); err != nil {
			return nil, err
		}
		published, calls, err := f.refreshes(ctx)
		if err != nil {
			return nil, err
		}
		f.compute.Sidecar.Stop()
		if err := f.clear(ctx); err != nil {
			return nil, err
		}
		read := 0
		for _, call := range calls {
			if slices.Contains([]string{"get", "list", "watch"}, call.Verb) {
				read++
			}
		}
		all, reads = append(all, float64(len(calls))/published), append(reads, float64(read)/published)
	}
	what := fmt.Sprintf("sidecar: %d namespaces: for a refresh, ", len(f.namespaces))
	return []row{
		{what: what + "calls to the API server", unit: "calls", is: all, limit: aCall},
		{what: what + "reads among them", unit: "reads", is: reads, limit: aRead},
	}, setPolicy(ctx, f.env, map[string]any{"maxLife": cluster.DefaultTokenLife.String()})
}
