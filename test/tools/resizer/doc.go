// Package resizer only names a module whose go.mod pins csi-resizer,
// which wants an older Kubernetes library than the others; package cluster
// builds the programs.
package resizer
