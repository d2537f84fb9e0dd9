package storage

import (
	"context"
	"fmt"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/google/uuid"
	"github.com/libopenstorage/openstorage/api"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// ProbeCSI proves that the storage cluster accepts the token on the very path
// that Kubernetes will use: the driver's socket, with the token as the secret.
// It lists one snapshot that does not exist, since an unfiltered list makes the
// driver look at every volume.
func ProbeCSI(ctx context.Context, conn grpc.ClientConnInterface, token string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := csi.NewControllerClient(conn).ListSnapshots(ctx, &csi.ListSnapshotsRequest{
		SnapshotId: noSuchVolume(),
		Secrets:    map[string]string{tenancy.TokenKey: token},
	})
	if err != nil {
		return fmt.Errorf("prove the token on the CSI socket: %w", err)
	}
	return nil
}

// Accepts proves that the storage cluster accepts the token, over the SDK. The
// token needs a role that may inspect volumes.
func (c *Client) Accepts(ctx context.Context, token string) error {
	return c.answers(WithToken(ctx, token))
}

// GuestAccess reports whether calls without a token have rights.
func (c *Client) GuestAccess(ctx context.Context) (bool, error) {
	err := c.answers(ctx)
	switch status.Code(err) {
	case codes.OK:
		return true, nil
	case codes.PermissionDenied, codes.Unauthenticated:
		return false, nil
	default:
		return false, err
	}
}

// answers returns nil if the caller may ask for a volume, which is not there.
func (c *Client) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := api.NewOpenStorageVolumeClient(c.conn).Inspect(ctx, &api.SdkVolumeInspectRequest{VolumeId: noSuchVolume()})
	if err == nil || status.Code(err) == codes.NotFound {
		return nil
	}
	return fmt.Errorf("ask the storage cluster: %w", err)
}

func noSuchVolume() string { return "bulkhead-probe-" + uuid.NewString() }

// IsRefusal reports whether an error is the storage cluster's refusal of a token,
// and not the failure to get an answer.
func IsRefusal(err error) bool {
	code := status.Code(err)
	return code == codes.Unauthenticated || code == codes.PermissionDenied
}
