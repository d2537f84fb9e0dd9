// Package crds only names a module whose go.mod pins the modules that hold the
// CRDs of cert-manager and of the Prometheus operator; package charts reads them
// there.
package crds
