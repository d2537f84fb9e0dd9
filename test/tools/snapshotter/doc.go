// Package snapshotter only names a module whose go.mod pins csi-snapshotter and
// snapshot-controller; package cluster builds the programs.
package snapshotter
