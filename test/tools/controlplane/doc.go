// Package controlplane only names a module whose go.mod pins Kubernetes'
// control plane and etcd; package cluster builds the programs.
package controlplane
