// Package helm only names a module whose go.mod pins Helm; package cluster
// builds the programs.
package helm
