package tenancy

import "strings"

// Keys by which Kubernetes, Stork and the in-tree plugin are pointed to the
// token Secret.
const (
	// AuthSecretName and AuthSecretNamespace are read by Stork and the legacy
	// path on claims and in-tree PVs, and turned into every CSI secret key of
	// an in-tree class (k8s.io/csi-translation-lib, plugins/portworx.go).
	AuthSecretName      = "openstorage.io/auth-secret-name"
	AuthSecretNamespace = "openstorage.io/auth-secret-namespace"

	// CSISecretName and CSISecretNamespace in a StorageClass are what the
	// external-provisioner falls back to for each call that has no key of its
	// own (external-provisioner, pkg/controller/controller.go).
	CSISecretName      = "csi.storage.k8s.io/secret-name"
	CSISecretNamespace = "csi.storage.k8s.io/secret-namespace"

	// SnapshotterSecretName and SnapshotterSecretNamespace in a
	// VolumeSnapshotClass are used to make and delete snapshots
	// (external-snapshotter, pkg/utils).
	SnapshotterSecretName      = "csi.storage.k8s.io/snapshotter-secret-name"
	SnapshotterSecretNamespace = "csi.storage.k8s.io/snapshotter-secret-namespace"

	// SnapshotterListSecretName and SnapshotterListSecretNamespace in a
	// VolumeSnapshotClass are used to look at pre-provisioned contents alone
	// (external-snapshotter, checkandUpdateContentStatusOperation).
	SnapshotterListSecretName      = "csi.storage.k8s.io/snapshotter-list-secret-name"
	SnapshotterListSecretNamespace = "csi.storage.k8s.io/snapshotter-list-secret-namespace"

	// GroupSnapshotterSecretName and GroupSnapshotterSecretNamespace in a
	// VolumeGroupSnapshotClass are used to make and delete groups of snapshots
	// (external-snapshotter, pkg/utils).
	GroupSnapshotterSecretName      = "csi.storage.k8s.io/group-snapshotter-secret-name"
	GroupSnapshotterSecretNamespace = "csi.storage.k8s.io/group-snapshotter-secret-namespace"

	// DeletionSecretName and DeletionSecretNamespace on a PV are what the
	// external-provisioner deletes the volume with. They are mutable, unlike
	// the secret references in the PV's spec.
	DeletionSecretName      = "volume.kubernetes.io/provisioner-deletion-secret-name"
	DeletionSecretNamespace = "volume.kubernetes.io/provisioner-deletion-secret-namespace"

	// ModifySecretName and ModifySecretNamespace on a PV are what the
	// external-resizer calls ControllerModifyVolume with.
	ModifySecretName      = "volume.kubernetes.io/controller-modify-secret-name"
	ModifySecretNamespace = "volume.kubernetes.io/controller-modify-secret-namespace"

	// SnapshotDeletionSecretName and SnapshotDeletionSecretNamespace on a
	// VolumeSnapshotContent are what the snapshot is deleted with.
	SnapshotDeletionSecretName      = "snapshot.storage.kubernetes.io/deletion-secret-name"
	SnapshotDeletionSecretNamespace = "snapshot.storage.kubernetes.io/deletion-secret-namespace"

	// GroupDeletionSecretName and GroupDeletionSecretNamespace on a
	// VolumeGroupSnapshotContent are what the group is deleted with.
	GroupDeletionSecretName      = "groupsnapshot.storage.kubernetes.io/deletion-secret-name"
	GroupDeletionSecretNamespace = "groupsnapshot.storage.kubernetes.io/deletion-secret-namespace"

	// ProvisionedBy on a PV names the provisioner that may delete its volume.
	ProvisionedBy = "pv.kubernetes.io/provisioned-by"

	// BetaStorageClass on a claim or PV is the old way of naming its class.
	BetaStorageClass = "volume.beta.kubernetes.io/storage-class"
)

// Pair is a key for the name of a Secret and one for its namespace, with the
// reference that belongs there.
type Pair struct {
	NameKey, NamespaceKey string
	Ref                   SecretRef
}

// Values are the two entries of the pair.
func (p Pair) Values() map[string]string {
	return map[string]string{p.NameKey: p.Ref.Name, p.NamespaceKey: p.Ref.Namespace}
}

// ClassParameters are the parameters that a StorageClass of the given
// provisioner needs, by the fewest keys that cover every call. An in-tree class
// gets one pair alone: the translation to CSI would mix two sources at random.
func (l Layout) ClassParameters(d Drivers, provisioner string) []Pair {
	ref := l.ClaimTemplate()
	auth := Pair{AuthSecretName, AuthSecretNamespace, ref}
	switch {
	case d.IsInTree(provisioner):
		return []Pair{auth}
	case d.IsCSI(provisioner):
		return []Pair{{CSISecretName, CSISecretNamespace, ref}, auth}
	}
	return nil
}

// SnapshotClassParameters are the parameters that a VolumeSnapshotClass of one
// of our drivers needs.
func (l Layout) SnapshotClassParameters() []Pair {
	return []Pair{
		{SnapshotterSecretName, SnapshotterSecretNamespace, l.SnapshotTemplate()},
		{SnapshotterListSecretName, SnapshotterListSecretNamespace, l.ContentTemplate()},
	}
}

// GroupSnapshotClassParameters are the parameters that a
// VolumeGroupSnapshotClass of one of our drivers needs.
func (l Layout) GroupSnapshotClassParameters() []Pair {
	return []Pair{{GroupSnapshotterSecretName, GroupSnapshotterSecretNamespace, l.GroupSnapshotTemplate()}}
}

// ClaimAnnotations are the annotations of a claim in the given namespace.
func (l Layout) ClaimAnnotations(namespace string) []Pair {
	return []Pair{{AuthSecretName, AuthSecretNamespace, l.TokenSecret(namespace)}}
}

// VolumeAnnotations are the annotations of a PV whose claim is in the given
// namespace.
func (l Layout) VolumeAnnotations(namespace string) []Pair {
	ref := l.TokenSecret(namespace)
	return []Pair{
		{DeletionSecretName, DeletionSecretNamespace, ref},
		{ModifySecretName, ModifySecretNamespace, ref},
	}
}

// ContentAnnotations are the annotations of a VolumeSnapshotContent whose
// snapshot is in the given namespace.
func (l Layout) ContentAnnotations(namespace string) []Pair {
	return []Pair{{SnapshotDeletionSecretName, SnapshotDeletionSecretNamespace, l.TokenSecret(namespace)}}
}

// GroupContentAnnotations are the annotations of a VolumeGroupSnapshotContent
// whose group snapshot is in the given namespace.
func (l Layout) GroupContentAnnotations(namespace string) []Pair {
	return []Pair{{GroupDeletionSecretName, GroupDeletionSecretNamespace, l.TokenSecret(namespace)}}
}

// NamesSecret reports whether a class parameter names a Secret for some CSI
// call or for the in-tree plugin, in the spelling of today or a deprecated one.
// The in-tree translation matches without regard to case, so this does too.
func NamesSecret(parameter string) bool {
	key := strings.ToLower(parameter)
	if key == AuthSecretName || key == AuthSecretNamespace {
		return true
	}
	csi := strings.HasPrefix(key, "csi") // csi.storage.k8s.io/… and csiProvisioner…
	return csi && (strings.HasSuffix(key, "secret-name") || strings.HasSuffix(key, "secret-namespace") ||
		strings.HasSuffix(key, "secretname") || strings.HasSuffix(key, "secretnamespace"))
}

// NamesSecretOfACall reports whether a class parameter names a Secret for some
// CSI call alone, not the default of all.
func NamesSecretOfACall(parameter string) bool {
	switch key := strings.ToLower(parameter); key {
	case AuthSecretName, AuthSecretNamespace, CSISecretName, CSISecretNamespace:
		return false
	default:
		return NamesSecret(key)
	}
}
