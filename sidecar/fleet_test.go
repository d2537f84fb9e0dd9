//go:build !race

package sidecar

// simulatedFleet is how many namespaces a simulated day has.
const simulatedFleet = 10_000

// soakFleet is how many namespaces a simulated week has, and soakUses how many are at
// work at a time; make soak has more of the former.
const (
	soakFleet = 200
	soakDays  = 7
	soakUses  = 20
)
