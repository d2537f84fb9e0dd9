package sidecar

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/kubernetes-csi/csi-lib-utils/connection"
	csimetrics "github.com/kubernetes-csi/csi-lib-utils/metrics"
	"github.com/kubernetes-csi/csi-lib-utils/rpc"
	"google.golang.org/grpc"

	"github.com/bulkhead-dev/bulkhead/storage"
)

// probeTimeout bounds one call to the driver at start.
const probeTimeout = 5 * time.Second

// Proof is how a token is proven before it is published.
type Proof string

const (
	// OverCSI proves it on the driver's socket, the very path that Kubernetes
	// uses. The socket belongs to root.
	OverCSI Proof = "csi"
	// OverSDK proves it on the SDK's TCP port, for drivers that do not list
	// snapshots and for a sidecar that must not run as root.
	OverSDK Proof = "sdk"
)

// driver is the CSI driver beside which the sidecar runs, and where its tokens
// are proven.
type driver struct {
	name   string
	accept prober
	close  func() error
}

// connect waits for the driver, learns its name, and finds out where tokens are
// proven. A driver that restarts later is connected to again.
func connect(ctx context.Context, cfg *Config, m csimetrics.CSIMetricsManager) (*driver, error) {
	d := &driver{name: cfg.DriverName, close: func() error { return nil }}
	var conn *grpc.ClientConn
	if cfg.Standard.CSIAddress != "" {
		var err error
		if conn, d.name, err = dial(ctx, cfg.Standard.CSIAddress, m); err != nil {
			return nil, err
		}
		d.close = conn.Close
	}
	if cfg.Proof == OverSDK {
		sdk, err := storage.Dial(cfg.SDK)
		if err != nil {
			return nil, errors.Join(err, d.close())
		}
		d.accept = sdk.Accepts
		closeSocket := d.close
		d.close = func() error { return errors.Join(sdk.Close(), closeSocket()) }
		return d, nil
	}
	call, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	can, err := rpc.GetControllerCapabilities(call, conn)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("ask the CSI driver %s what it can do: %w", d.name, err), d.close())
	}
	if !can[csi.ControllerServiceCapability_RPC_LIST_SNAPSHOTS] {
		return nil, errors.Join(fmt.Errorf("the CSI driver %s does not list snapshots, so that tokens cannot be proven on its socket: "+
			"set --proof=%s and --sdk-address", d.name, OverSDK), d.close())
	}
	d.accept = func(ctx context.Context, token string) error { return storage.ProbeCSI(ctx, conn, token) }
	return d, nil
}

func dial(ctx context.Context, address string, m csimetrics.CSIMetricsManager) (*grpc.ClientConn, string, error) {
	conn, err := connection.Connect(ctx, address, m, connection.WithTimeout(0)) // as long as it takes
	if err != nil {
		return nil, "", fmt.Errorf("connect to the CSI driver at %s: %w", address, err)
	}
	if err := rpc.ProbeForever(ctx, conn, probeTimeout); err != nil {
		return nil, "", errors.Join(fmt.Errorf("CSI driver at %s: %w", address, err), conn.Close())
	}
	call, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	name, err := rpc.GetDriverName(call, conn)
	if err != nil {
		return nil, "", errors.Join(fmt.Errorf("ask the CSI driver at %s for its name: %w", address, err), conn.Close())
	}
	return conn, name, nil
}
