package actors

import (
	"context"
	"fmt"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// CloneByDriver asks the CSI driver of the team's cluster for a clone of a
// volume, for a claim of the team, with the given token as the secret: what the
// csi-provisioner would do if the claim had the annotation "parent".
func (t *Team) CloneByDriver(ctx context.Context, token, claim, volume string) error {
	conn, err := grpc.NewClient("unix://"+t.Admin.Compute.CSISocket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("dial the driver: %w", err)
	}
	defer func() { _ = conn.Close() }()
	_, err = csi.NewControllerClient(conn).CreateVolume(ctx, &csi.CreateVolumeRequest{
		Name: "stolen-by-" + t.Namespace.Name + "-" + t.Admin.Compute.Name,
		VolumeCapabilities: []*csi.VolumeCapability{{
			AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{}},
			AccessMode: &csi.VolumeCapability_AccessMode{Mode: csi.VolumeCapability_AccessMode_SINGLE_NODE_WRITER},
		}},
		Parameters: map[string]string{
			"repl": "1", "parent": volume,
			"csi.storage.k8s.io/pvc/name": claim, "csi.storage.k8s.io/pvc/namespace": t.Namespace.Name,
		},
		Secrets: map[string]string{tenancy.TokenKey: token},
	})
	return err
}
