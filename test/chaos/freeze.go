package main

import "context"

// freeze halts processes with SIGSTOP and lets them go on with SIGCONT.
func freeze(what part) func(context.Context, *site, fault) (func(context.Context) error, error) {
	return func(_ context.Context, s *site, f fault) (func(context.Context) error, error) {
		processes := what.hit(s, f)
		for _, p := range processes {
			p.Freeze()
		}
		return func(context.Context) error {
			for _, p := range processes {
				p.Thaw()
			}
			return nil
		}, nil
	}
}
