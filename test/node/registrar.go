package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"google.golang.org/grpc"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// registrar tells the kubelet of the CSI driver, as the sidecar
// node-driver-registrar does.
type registrar struct {
	registration.UnimplementedRegistrationServer

	mu     sync.Mutex
	status *registration.RegistrationStatus
}

// GetInfo names the driver and its socket.
func (r *registrar) GetInfo(context.Context, *registration.InfoRequest) (*registration.PluginInfo, error) {
	return &registration.PluginInfo{
		Type: registration.CSIPlugin, Name: cluster.DriverName, Endpoint: CSISocket,
		SupportedVersions: []string{"1.0.0"}, // of CSI: the kubelet reads the major alone
	}, nil
}

// NotifyRegistrationStatus keeps what the kubelet says.
func (r *registrar) NotifyRegistrationStatus(_ context.Context, status *registration.RegistrationStatus) (*registration.RegistrationStatusResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
	return &registration.RegistrationStatusResponse{}, nil
}

func (r *registrar) err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.status == nil:
		return errors.New("the kubelet has not asked for the driver")
	case !r.status.PluginRegistered:
		return fmt.Errorf("the kubelet refuses the driver: %s", r.status.Error)
	}
	return nil
}

// RegisterDriver makes the CSI driver, which serves at CSISocket, known to the
// kubelet, and returns when the node has it. It ends with the tests.
func (n *Node) RegisterDriver(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", "/var/lib/kubelet/plugins_registry/"+cluster.DriverName+"-reg.sock")
	if err != nil {
		return fmt.Errorf("register the driver: %w", err)
	}
	n.registrar = &registrar{}
	server := grpc.NewServer()
	registration.RegisterRegistrationServer(server, n.registrar)
	go func() { _ = server.Serve(listener) }() // what goes wrong shows in the wait below
	err = cluster.Poll(ctx, registerTimeout, func(ctx context.Context) error {
		if err := n.registrar.err(); err != nil {
			return err
		}
		drivers, err := n.compute.Client.StorageV1().CSINodes().Get(ctx, n.Name(), metav1.GetOptions{})
		if err == nil && len(drivers.Spec.Drivers) == 0 {
			err = errors.New("the node has no CSI driver")
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("register the driver: %w", err)
	}
	return nil
}
