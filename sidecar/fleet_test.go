//go:build !race

package sidecar

// simulatedFleet is how many namespaces a simulated day has.
const simulatedFleet = 10_000

// soakFleet is how many a simulated week has; make soak has more.
const soakFleet = 200
