package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

const (
	// Address is the node's, and of what runs beside its Pods: an environment whose
	// clusters have a node wants it as its Config.Address.
	Address = "172.30.0.1"

	podRange = "10.244.0.0/16"

	registerTimeout = time.Minute

	// CSISocket is the CSI driver's on the node, where Portworx has it.
	CSISocket = "/var/lib/kubelet/plugins/" + cluster.DriverName + "/csi.sock"
)

// Node is the one node of a compute cluster.
type Node struct {
	env       *cluster.Environment
	compute   *cluster.Compute
	binaries  *cluster.Binaries
	dir       string
	kubelet   *cluster.Process
	registrar *registrar
}

// Name is that of the Node object: the compute cluster's, since that is the id
// which the CSI driver gives its node.
func (n *Node) Name() string { return n.compute.Name }

// Kubelet is its process. Pods run on while it does not.
func (n *Node) Kubelet() *cluster.Process { return n.kubelet }

// Start makes this machine the node of a compute cluster and returns when it is
// ready. The binaries are BuildNode's. There can be one node in a run of Main,
// and none outside of one.
func Start(ctx context.Context, env *cluster.Environment, compute *cluster.Compute, binaries *cluster.Binaries) (*Node, error) {
	if os.Getenv(roleVariable) != roleTests {
		return nil, errors.New("start a node: not within node.Main as root")
	}
	n := &Node{env: env, compute: compute, binaries: binaries, dir: filepath.Join(env.Dir, compute.Name, "node")}
	if err := os.MkdirAll(n.dir, 0o700); err != nil {
		return nil, fmt.Errorf("start a node: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(CSISocket), 0o755); err != nil {
		return nil, fmt.Errorf("start a node: %w", err)
	}
	if err := makeCgroups(); err != nil {
		return nil, fmt.Errorf("start a node: %w", err)
	}
	for _, start := range []func(context.Context) error{
		n.startScheduler, n.startContainerd, n.importPause,
		n.startKubelet, n.startProxy, // which waits for its node
	} {
		if err := start(ctx); err != nil {
			return nil, fmt.Errorf("start a node: %w", err)
		}
	}
	return n, nil
}

func (n *Node) write(name string, content []byte) (path string, err error) {
	path = filepath.Join(n.dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return "", fmt.Errorf("write %s: %w", name, err)
	}
	return path, nil
}
