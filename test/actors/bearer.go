package actors

import (
	"context"
	"errors"
	"fmt"

	"github.com/libopenstorage/openstorage/api"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-dev/bulkhead/storage"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// Bearer speaks to the storage cluster directly, past Kubernetes, with a token
// that it got hold of; with none if it is empty.
type Bearer struct {
	conn  *grpc.ClientConn
	token string
}

// NewBearer prepares the bearer of a token.
func NewBearer(s *cluster.Storage, token string) (*Bearer, error) {
	client, err := s.Dial()
	if err != nil {
		return nil, err
	}
	return &Bearer{conn: client.Conn(), token: token}, nil
}

// Holding is the same bearer with another token, on the same connection.
func (b *Bearer) Holding(token string) *Bearer { return &Bearer{conn: b.conn, token: token} }

func (b *Bearer) with(ctx context.Context) context.Context {
	if b.token == "" {
		return ctx
	}
	return storage.WithToken(ctx, b.token)
}

// Accepted returns nil if the storage cluster accepts the token at all.
func (b *Bearer) Accepted(ctx context.Context) error {
	err := b.Inspect(ctx, "bulkhead-no-such-volume")
	if status.Code(err) == codes.NotFound {
		return nil
	}
	return err
}

// Inspect looks at a volume.
func (b *Bearer) Inspect(ctx context.Context, volume string) error {
	_, err := api.NewOpenStorageVolumeClient(b.conn).Inspect(b.with(ctx), &api.SdkVolumeInspectRequest{VolumeId: volume})
	return err
}

// Clone makes a volume out of another.
func (b *Bearer) Clone(ctx context.Context, volume, name string) error {
	_, err := api.NewOpenStorageVolumeClient(b.conn).Clone(b.with(ctx), &api.SdkVolumeCloneRequest{Name: name, ParentId: volume})
	return err
}

// Snapshot makes a snapshot of a volume.
func (b *Bearer) Snapshot(ctx context.Context, volume, name string) error {
	_, err := api.NewOpenStorageVolumeClient(b.conn).SnapshotCreate(b.with(ctx), &api.SdkVolumeSnapshotCreateRequest{VolumeId: volume, Name: name})
	return err
}

// Delete removes a volume.
func (b *Bearer) Delete(ctx context.Context, volume string) error {
	_, err := api.NewOpenStorageVolumeClient(b.conn).Delete(b.with(ctx), &api.SdkVolumeDeleteRequest{VolumeId: volume})
	return err
}

// Attach attaches a volume, the step before a mount.
func (b *Bearer) Attach(ctx context.Context, volume string) error {
	_, err := api.NewOpenStorageMountAttachClient(b.conn).Attach(b.with(ctx), &api.SdkVolumeAttachRequest{VolumeId: volume})
	return err
}

// Visible lists the ids of the volumes that the storage cluster shows.
func (b *Bearer) Visible(ctx context.Context) ([]string, error) {
	resp, err := api.NewOpenStorageVolumeClient(b.conn).EnumerateWithFilters(b.with(ctx), &api.SdkVolumeEnumerateWithFiltersRequest{})
	return resp.GetVolumeIds(), err
}

// CreateRole tries to make itself an all-powerful role.
func (b *Bearer) CreateRole(ctx context.Context) error {
	_, err := api.NewOpenStorageRoleClient(b.conn).Create(b.with(ctx), &api.SdkRoleCreateRequest{Role: &api.SdkRole{
		Name: "thief", Rules: []*api.SdkRule{{Services: []string{"*"}, Apis: []string{"*"}}},
	}})
	return err
}

// ReadClusterSettings reads what the storage cluster says of itself.
func (b *Bearer) ReadClusterSettings(ctx context.Context) error {
	_, err := api.NewOpenStorageClusterClient(b.conn).InspectCurrent(b.with(ctx), &api.SdkClusterInspectCurrentRequest{})
	return err
}

// ReadPairToken asks for the token by which storage clusters pair, which is an
// admin's for years.
func (b *Bearer) ReadPairToken(ctx context.Context) error {
	_, err := api.NewOpenStorageClusterPairClient(b.conn).GetToken(b.with(ctx), &api.SdkClusterPairGetTokenRequest{})
	return err
}

// Refused returns nil if err is the storage cluster's refusal: of the token, of
// the call, or of the volume, which it may call not found.
func Refused(err error) error {
	switch status.Code(err) {
	case codes.OK:
		return errors.New("it was allowed")
	case codes.Unauthenticated, codes.PermissionDenied, codes.NotFound:
		return nil
	default:
		return fmt.Errorf("it failed, but was not refused: %w", err)
	}
}
