package audit

import (
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// item is what an audit itself reads of an object, of whichever kind; the rules
// read it once more. There may be a hundred thousand, so it is little.
type item struct {
	named

	Spec struct {
		// Of a PersistentVolume.
		CSI *struct {
			Driver       string `json:"driver"`
			VolumeHandle string `json:"volumeHandle"`
		} `json:"csi"`
		PortworxVolume *struct {
			VolumeID string `json:"volumeID"`
		} `json:"portworxVolume"`
		ClaimRef reference `json:"claimRef"`
		// Of a VolumeSnapshotContent.
		Driver            string    `json:"driver"`
		VolumeSnapshotRef reference `json:"volumeSnapshotRef"`
		Source            struct {
			VolumeHandle   string `json:"volumeHandle"`
			SnapshotHandle string `json:"snapshotHandle"`
		} `json:"source"`
	} `json:"spec"`
	Status struct {
		SnapshotHandle string `json:"snapshotHandle"`
	} `json:"status"`
}

// named is what every kind has.
type named struct {
	Metadata struct {
		Namespace   string            `json:"namespace"`
		Name        string            `json:"name"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
}

// readItem reads an object. Of kinds of others nothing but the metadata is known.
func readItem(kind string, raw []byte) (*item, error) {
	it := &item{}
	var err error
	switch kind {
	case volumeKind, contentKind:
		err = json.Unmarshal(raw, it)
	default:
		err = json.Unmarshal(raw, &it.named)
	}
	if err != nil {
		return nil, fmt.Errorf("read a %s: %w", kind, err)
	}
	return it, nil
}

// reference is what one object says of another.
type reference struct {
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	UID       types.UID `json:"uid"`
}

// held is a volume or snapshot content of ours, as far as it outlives its
// namespace.
type held struct {
	// namespace, name and uid of its claim or snapshot, and the field that says them.
	namespace, name string
	uid             types.UID
	field           string
	// snapshot is whether it is of a snapshot.
	snapshot bool
	// handle on the storage cluster.
	handle string
	// taken is whether a snapshot has been taken: the volume that it is of is not
	// reached through it any more.
	taken bool
	// deletion is the Secret that it is deleted with.
	deletion tenancy.SecretRef
}

// held reads a volume or content; ours is false for any other object and those of
// other drivers.
func (it *item) held(kind string, drivers tenancy.Drivers) (h held, ours bool) {
	a := it.Metadata.Annotations
	switch kind {
	case volumeKind:
		ref := it.Spec.ClaimRef
		h = held{
			namespace: ref.Namespace, name: ref.Name, uid: ref.UID, field: "spec.claimRef",
			deletion: tenancy.SecretRef{Namespace: a[tenancy.DeletionSecretNamespace], Name: a[tenancy.DeletionSecretName]},
		}
		switch {
		case it.Spec.CSI != nil && drivers.IsCSI(it.Spec.CSI.Driver):
			h.handle = it.Spec.CSI.VolumeHandle
		case it.Spec.PortworxVolume != nil:
			h.handle = it.Spec.PortworxVolume.VolumeID
		default:
			return held{}, false
		}
		return h, true
	case contentKind:
		ref := it.Spec.VolumeSnapshotRef
		h = held{
			namespace: ref.Namespace, name: ref.Name, uid: ref.UID, field: "spec.volumeSnapshotRef", snapshot: true,
			deletion: tenancy.SecretRef{Namespace: a[tenancy.SnapshotDeletionSecretNamespace], Name: a[tenancy.SnapshotDeletionSecretName]},
		}
		for _, handle := range []string{it.Spec.Source.VolumeHandle, it.Spec.Source.SnapshotHandle, it.Status.SnapshotHandle} {
			if handle != "" {
				h.handle = handle
			}
		}
		h.taken = it.Status.SnapshotHandle != ""
		return h, drivers.IsCSI(it.Spec.Driver)
	}
	return held{}, false
}
