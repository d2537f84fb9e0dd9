//go:build !race

package sidecar

// simulatedFleet is how many namespaces a simulated day has.
const simulatedFleet = 10_000
