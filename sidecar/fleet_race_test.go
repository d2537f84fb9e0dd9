//go:build race

package sidecar

// simulatedFleet is smaller here: the race detector makes everything ten times
// slower, and a race shows with fewer namespaces too.
const simulatedFleet = 500

// soakFleet is how many a simulated week has.
const soakFleet = 30
