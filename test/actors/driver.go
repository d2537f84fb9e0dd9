package actors

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// CloneByDriver asks the CSI driver of the team's cluster for a clone of a
// volume, for a claim of the team, with the given token as the secret: what the
// csi-provisioner would do if the claim had the annotation "parent".
func (t *Team) CloneByDriver(ctx context.Context, token, claim, volume string) error {
	conn, err := t.Admin.dialDriver()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_, err = csi.NewControllerClient(conn).CreateVolume(ctx, &csi.CreateVolumeRequest{
		Name:               "stolen-by-" + t.Namespace.Name + "-" + t.Admin.Compute.Name,
		VolumeCapabilities: []*csi.VolumeCapability{mounted()},
		Parameters: map[string]string{
			"repl": "1", "parent": volume,
			"csi.storage.k8s.io/pvc/name": claim, "csi.storage.k8s.io/pvc/namespace": t.Namespace.Name,
		},
		Secrets: map[string]string{tenancy.TokenKey: token},
	})
	return err
}

// Mount is what a kubelet asks of the CSI driver as a Pod starts that uses the
// volume: by the Secret that the volume names, if any. The Pod's node may read it.
func (a *ClusterAdmin) Mount(ctx context.Context, source *corev1.CSIPersistentVolumeSource, attributes map[string]string) error {
	secrets := map[string]string{}
	if ref := source.NodePublishSecretRef; ref != nil {
		var secret corev1.Secret
		if err := a.Get(ctx, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}, &secret); err != nil {
			return fmt.Errorf("read the volume's Secret: %w", err)
		}
		for key, value := range secret.Data {
			secrets[key] = string(value)
		}
	}
	conn, err := a.dialDriver()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	dir, err := os.MkdirTemp(filepath.Dir(a.Compute.CSISocket), "mount")
	if err != nil {
		return fmt.Errorf("make a folder to mount on: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	_, err = csi.NewNodeClient(conn).NodePublishVolume(ctx, &csi.NodePublishVolumeRequest{
		VolumeId: source.VolumeHandle, TargetPath: filepath.Join(dir, "mount"), VolumeCapability: mounted(),
		Secrets: secrets, VolumeContext: attributes,
	})
	return err
}

func (a *ClusterAdmin) dialDriver() (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient("unix://"+a.Compute.CSISocket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, fmt.Errorf("dial the driver: %w", err)
	}
	return conn, nil
}

func mounted() *csi.VolumeCapability {
	return &csi.VolumeCapability{
		AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{}},
		AccessMode: &csi.VolumeCapability_AccessMode{Mode: csi.VolumeCapability_AccessMode_SINGLE_NODE_WRITER},
	}
}
