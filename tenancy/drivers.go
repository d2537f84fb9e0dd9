package tenancy

import "slices"

// Names of the Portworx driver: of its CSI driver, and of the in-tree plugin
// that Kubernetes migrates to it (k8s.io/csi-translation-lib, plugins/portworx.go).
const (
	CSIDriver    = "pxd.portworx.com"
	InTreePlugin = "kubernetes.io/portworx-volume"
)

// KnownNames are all names under which the driver has been installed: those of
// today and of the first CSI releases.
func KnownNames() []string {
	return []string{CSIDriver, InTreePlugin, "pxd.openstorage.org", "com.openstorage.pxd"}
}

// Drivers are the provisioner names whose volumes live on the storage cluster.
type Drivers struct {
	// CSI are names of CSI drivers, the first of which the in-tree plugin is
	// migrated to.
	CSI []string
	// InTree are names of in-tree plugins.
	InTree []string
}

// DefaultDrivers are the names under which Portworx is installed.
func DefaultDrivers() Drivers {
	return Drivers{CSI: []string{CSIDriver}, InTree: []string{InTreePlugin}}
}

// Unguarded reports whether the driver has been installed under this name, and
// it is not one that we are told of.
func (d Drivers) Unguarded(name string) bool {
	return !d.Owns(name) && slices.Contains(KnownNames(), name)
}

// Owns reports whether a provisioner name, of either kind, is ours.
func (d Drivers) Owns(provisioner string) bool {
	return d.IsCSI(provisioner) || d.IsInTree(provisioner)
}

// IsCSI reports whether the name is that of one of our CSI drivers.
func (d Drivers) IsCSI(name string) bool { return slices.Contains(d.CSI, name) }

// IsInTree reports whether the name is that of one of our in-tree plugins.
func (d Drivers) IsInTree(name string) bool { return slices.Contains(d.InTree, name) }
