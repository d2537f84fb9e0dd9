package storage

import (
	"context"
	"fmt"
	"time"

	"github.com/libopenstorage/openstorage/api"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

const (
	// listTimeout bounds the listing of all volumes: a hundred thousand are about
	// 200 MB.
	listTimeout = 5 * time.Minute
	// maxList bounds what one listing may hold, in bytes: the API has no pages.
	maxList = 1 << 30
)

// Ownership is who owns a volume and with whom it is shared.
type Ownership = api.Ownership

// Volume is a volume or snapshot as the storage cluster knows it.
type Volume struct {
	ID, Name string
	// Ownership is nil for a volume that was made without a token.
	Ownership *Ownership
	// Namespace and Claim are those that it was recorded for, if any. They are the
	// word of whoever made it.
	Namespace, Claim string
	// Parent is the id of the volume that it is a clone or snapshot of.
	Parent string
}

// Volumes lists all volumes and snapshots that the caller may read. The context
// must carry a token; a storage admin's, for all of them.
func (c *Client) Volumes(ctx context.Context) ([]Volume, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	resp, err := api.NewOpenStorageVolumeClient(c.conn).InspectWithFilters(ctx,
		&api.SdkVolumeInspectWithFiltersRequest{}, grpc.MaxCallRecvMsgSize(maxList))
	if err != nil {
		return nil, fmt.Errorf("list the volumes of the storage cluster: %w", err)
	}
	volumes := make([]Volume, 0, len(resp.GetVolumes()))
	for _, v := range resp.GetVolumes() {
		volumes = append(volumes, volumeOf(v.GetVolume()))
	}
	return volumes, nil
}

// Volume finds a volume or snapshot by its id or name. The context must carry a
// token.
func (c *Client) Volume(ctx context.Context, handle string) (Volume, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	resp, err := api.NewOpenStorageVolumeClient(c.conn).Inspect(ctx, &api.SdkVolumeInspectRequest{VolumeId: handle})
	if err != nil {
		return Volume{}, fmt.Errorf("look at volume %.80s: %w", handle, err)
	}
	return volumeOf(resp.GetVolume()), nil
}

// SetOwnership writes who owns a volume and with whom it is shared: all of it.
// The context must carry a storage admin's token.
func (c *Client) SetOwnership(ctx context.Context, id string, ownership *Ownership) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := api.NewOpenStorageVolumeClient(c.conn).Update(ctx, &api.SdkVolumeUpdateRequest{
		VolumeId: id, Spec: &api.VolumeSpecUpdate{Ownership: ownership},
	})
	if err != nil {
		return fmt.Errorf("write the ownership of volume %s: %w", id, err)
	}
	return nil
}

func volumeOf(v *api.Volume) Volume {
	labels := v.GetLocator().GetVolumeLabels()
	volume := Volume{
		ID: v.GetId(), Name: v.GetLocator().GetName(),
		Namespace: labels["namespace"], Claim: labels["pvc"], Parent: v.GetSource().GetParent(),
	}
	if ownership := v.GetSpec().GetOwnership(); ownership != nil {
		volume.Ownership = proto.CloneOf(ownership)
	}
	return volume
}

// Owner is the subject that owns the volume, empty if nobody does.
func (v Volume) Owner() string { return v.Ownership.GetOwner() }
