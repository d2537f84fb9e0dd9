// Package provisioner only names a module whose go.mod pins csi-provisioner,
// which wants an older Kubernetes library than the others; package cluster
// builds the programs.
package provisioner
