package main

import (
	"context"
	"fmt"
)

// admission is the webhook's handlers in process: against one of controller-runtime
// that admits everything, and with the caches of a large cluster against those of a
// small one.
func admission(ctx context.Context, s *session) ([]row, error) {
	const (
		few, many = 1_000, 100_000 // PVs, and as many claims

		overEmpty = 1.5
		growth    = 1.1

		seconds, allocations = "sec/op", "allocs/op"
	)
	all, err := goBenchmark(ctx, s, "./webhook", "^BenchmarkAdmission$", "3000x")
	if err != nil {
		return nil, err
	}
	name := func(volumes int, kind, handler string) string {
		return fmt.Sprintf("Admission/volumes=%d/kind=%s/handler=%s", volumes, kind, handler)
	}
	var rows []row
	compare := func(what, is, against, other, unit, shown string, scale, target float64) error {
		a, err := all.of(is, unit, s.rounds)
		if err != nil {
			return err
		}
		b, err := all.of(other, unit, s.rounds)
		if err != nil {
			return err
		}
		rows = append(rows, row{what: what, against: against, unit: shown, is: scaled(a, scale), other: scaled(b, scale), target: target})
		return nil
	}
	for _, kind := range []string{"PersistentVolumeClaim", "PersistentVolume"} {
		for _, step := range []string{"mutate", "validate"} {
			is, empty, floor := name(many, kind, step), name(many, kind, "empty"), name(many, kind, "decode")
			what := fmt.Sprintf("admission: %s a %s, %d PVs cached", step, kind, many)
			for _, c := range []struct {
				against, other, unit, shown string
				scale, target               float64
			}{
				{"empty handler", empty, seconds, "µs", 1e6, overEmpty},
				{"handler that decodes the object", floor, seconds, "µs", 1e6, 0},
				{"empty handler", empty, allocations, "allocations", 1, 0},
				{fmt.Sprintf("%d PVs cached", few), name(few, kind, step), seconds, "µs", 1e6, growth},
			} {
				if err := compare(what, is, c.against, c.other, c.unit, c.shown, c.scale, c.target); err != nil {
					return nil, err
				}
			}
		}
	}
	return rows, nil
}

func scaled(values []float64, by float64) []float64 {
	all := make([]float64, len(values))
	for i, value := range values {
		all[i] = value * by
	}
	return all
}
