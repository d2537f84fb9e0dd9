package cluster

import (
	"context"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// DriverName is that of the CSI driver in every compute cluster.
const DriverName = "pxd.portworx.com"

// ServiceAccounts, as namespace/name, of what Portworx installs in a compute
// cluster: driver.yaml makes them.
const (
	csiAccount                = "portworx/px-csi"
	driverAccount             = "portworx/portworx"
	snapshotControllerAccount = "kube-system/snapshot-controller"
)

//go:embed driver.yaml
var driverManifests embed.FS

// Compute is a compute cluster.
type Compute struct {
	// Name is the one it is registered under, a DNS label.
	Name string
	// Version of its API server, e.g. "v1.37.2".
	Version string
	// Kubeconfig is the path of an admin's kubeconfig.
	Kubeconfig string
	// Client has an admin's rights, and so has RESTConfig.
	Client kubernetes.Interface
	// CSISocket is the path of the CSI driver's unix socket.
	CSISocket string
	// Sidecar and Webhook are the product's processes, nil before Install; each is
	// the first of its replicas.
	Sidecar, Webhook   *Process
	Sidecars, Webhooks []*Process
	// WebhookAddresses are where each of Webhooks is asked, host:port.
	WebhookAddresses []string
	// Layout says where the token Secrets lie, as the chart was installed.
	Layout tenancy.Layout

	env       *Environment
	dir       folder
	server    string // URL of the API server
	etcd      string // URL of etcd
	authority *authority
	config    *rest.Config

	mu      sync.Mutex
	renewed map[string]bool // files whose token is renewed
}

// RESTConfig is a copy of the configuration of an admin's client.
func (c *Compute) RESTConfig() *rest.Config { return rest.CopyConfig(c.config) }

// Process returns a component of the cluster by its own name, e.g. "apiserver",
// "csinode" or "csi-provisioner", nil if there is none. Killed and started again
// it has the same address and the same data.
func (c *Compute) Process(component string) *Process { return c.env.Process(c.Name + "-" + component) }

// StartCompute starts a compute cluster with Portworx's parts in it, but
// without Bulkhead. The storage cluster must run. Several may be started at
// once.
func (e *Environment) StartCompute(ctx context.Context, name string) (*Compute, error) {
	if e.Storage == nil {
		return nil, fmt.Errorf("start compute cluster %s: the storage cluster does not run", name)
	}
	c, err := e.StartControlPlane(ctx, name)
	if err != nil {
		return nil, err
	}
	return c, e.StartDriver(ctx, c)
}

// StartControlPlane starts a compute cluster that has no storage yet. It needs no
// storage cluster.
func (e *Environment) StartControlPlane(ctx context.Context, name string) (*Compute, error) {
	if err := tenancy.ValidateClusterName(name); err != nil {
		return nil, fmt.Errorf("start compute cluster: %w", err)
	}
	c := &Compute{Name: name, env: e, renewed: map[string]bool{}}
	e.mu.Lock()
	taken := e.computes[name] != nil
	if !taken {
		e.computes[name] = c
	}
	e.mu.Unlock()
	if taken {
		return nil, fmt.Errorf("start compute cluster %s: the name is taken", name)
	}
	var err error
	if c.dir, err = makeFolder(filepath.Join(e.Dir, name)); err != nil {
		return nil, err
	}
	return c, e.startControlPlane(ctx, c)
}

// StartDriver starts what Portworx brings: the CSI endpoint and the CSI
// sidecars, each with its own rights. The storage cluster must run. The endpoint's
// node id is the compute cluster's name, and its socket c.CSISocket, which is
// chosen if empty.
func (e *Environment) StartDriver(ctx context.Context, c *Compute) error {
	began := time.Now()
	if err := e.applySnapshotCRDs(ctx, c); err != nil {
		return err
	}
	manifests, err := driverManifests.ReadFile("driver.yaml")
	if err != nil {
		return fmt.Errorf("read driver.yaml: %w", err)
	}
	if err := c.Apply(ctx, manifests); err != nil {
		return err
	}
	kubeconfigs := map[string]string{}
	for _, account := range []string{csiAccount, driverAccount, snapshotControllerAccount} {
		if kubeconfigs[account], err = c.serviceAccountKubeconfig(ctx, account); err != nil {
			return err
		}
	}
	if err := e.startCSI(ctx, c, kubeconfigs[driverAccount]); err != nil {
		return err
	}
	b := e.cfg.Binaries
	for _, what := range []spec{
		{name: "csi-provisioner", path: b.Provisioner, args: []string{
			"--kubeconfig=" + kubeconfigs[csiAccount], "--csi-address=" + c.CSISocket,
			"--extra-create-metadata",
			"--feature-gates=Topology=false", // there are no nodes
		}},
		{name: "csi-resizer", path: b.Resizer, args: []string{
			"--kubeconfig=" + kubeconfigs[csiAccount], "--csi-address=" + c.CSISocket,
			"--handle-volume-inuse-error=false", // it would watch all Pods
		}},
		{name: "csi-snapshotter", path: b.Snapshotter, args: []string{
			"--kubeconfig=" + kubeconfigs[csiAccount], "--csi-address=" + c.CSISocket,
		}},
		{name: "snapshot-controller", path: b.SnapshotController, args: []string{
			"--kubeconfig=" + kubeconfigs[snapshotControllerAccount],
		}},
	} {
		if e.cfg.RetryMax > 0 {
			what.args = append(what.args, retrying(what.name, e.cfg.RetryMax)...)
		}
		what.name = c.Name + "-" + what.name
		what.restarts = true // those that lose the driver's socket end
		// Their defaults make events come minutes late where many claims are made.
		what.args = append(what.args, "--kube-api-qps=100", "--kube-api-burst=200")
		if _, err := e.supervisor.start(ctx, what); err != nil {
			return err
		}
	}
	e.started(c.Name+": CSI driver "+DriverName, began)
	return nil
}

// retrying are the flags by which a CSI sidecar tries again after that long at most.
func retrying(sidecar string, most time.Duration) []string {
	args := []string{"--retry-interval-max=" + most.String()}
	if sidecar == "csi-snapshotter" {
		args = append(args, "--resync-period="+most.String())
	}
	return args
}

func (e *Environment) applySnapshotCRDs(ctx context.Context, c *Compute) error {
	files, err := filepath.Glob(filepath.Join(e.cfg.Binaries.SnapshotCRDs, "*.yaml"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("snapshot CRDs: none in %q (%w)", e.cfg.Binaries.SnapshotCRDs, err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("snapshot CRDs: %w", err)
		}
		if err := c.Apply(ctx, raw); err != nil {
			return err
		}
	}
	err = Poll(ctx, readyTimeout, func(context.Context) error {
		kinds := map[string]bool{}
		for _, version := range []string{"snapshot.storage.k8s.io/v1", "groupsnapshot.storage.k8s.io/v1"} {
			served, err := c.Client.Discovery().ServerResourcesForGroupVersion(version)
			if err != nil {
				return err
			}
			for _, resource := range served.APIResources {
				kinds[resource.Kind] = true
			}
		}
		if len(kinds) < len(files) {
			return fmt.Errorf("%d of %d kinds are served", len(kinds), len(files))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("wait for the snapshot CRDs of %s: %w", c.Name, err)
	}
	return nil
}

func (e *Environment) startCSI(ctx context.Context, c *Compute, kubeconfig string) error {
	if c.CSISocket == "" {
		c.CSISocket = e.sockets.path(c.Name + ".sock")
	}
	_, err := e.supervisor.start(ctx, spec{
		name: c.Name + "-csinode", path: e.cfg.Binaries.CSINode, socket: c.CSISocket,
		args: []string{
			"-sdk-socket", e.Storage.SDKSocket,
			"-csi-socket", c.CSISocket,
			"-cluster-id", e.Storage.ID,
			"-node-id", c.Name,
			"-driver-name", DriverName,
		},
		env: []string{"KUBECONFIG=" + kubeconfig},
		ready: func(ctx context.Context) error {
			conn, err := grpc.NewClient("unix:"+c.CSISocket, grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				return fmt.Errorf("connect to %s: %w", c.CSISocket, err)
			}
			defer func() { _ = conn.Close() }()
			ctx, cancel := context.WithTimeout(ctx, pollTimeout)
			defer cancel()
			if _, err := csi.NewIdentityClient(conn).GetPluginInfo(ctx, &csi.GetPluginInfoRequest{}); err != nil {
				return fmt.Errorf("ask %s: %w", c.CSISocket, err)
			}
			return nil
		},
	})
	return err
}
