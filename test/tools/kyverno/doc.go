// Package kyverno only names a module whose go.mod pins Kyverno, which Bulkhead
// is compared with; package cluster builds the program.
package kyverno
