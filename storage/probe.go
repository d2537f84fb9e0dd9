package storage

import (
	"context"
	"fmt"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/google/uuid"
	"google.golang.org/grpc"

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
		SnapshotId: "bulkhead-probe-" + uuid.NewString(),
		Secrets:    map[string]string{tenancy.TokenKey: token},
	})
	if err != nil {
		return fmt.Errorf("prove the token on the CSI socket: %w", err)
	}
	return nil
}
