//go:build race

package sidecar

// simulatedFleet is smaller here: the race detector makes everything ten times
// slower, and a race shows with fewer namespaces too.
const simulatedFleet = 500

// A simulated week is smaller and shorter for the same reason.
const (
	soakFleet = 30
	soakDays  = 4
	soakUses  = 2
)
