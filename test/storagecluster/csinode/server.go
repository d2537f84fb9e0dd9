package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/libopenstorage/openstorage/api"
	"github.com/libopenstorage/openstorage/cluster"
	clustermanager "github.com/libopenstorage/openstorage/cluster/manager"
	openstorage "github.com/libopenstorage/openstorage/config"
	"github.com/libopenstorage/openstorage/csi"
	"github.com/libopenstorage/openstorage/pkg/loadbalancer"
	"github.com/libopenstorage/openstorage/pkg/sched"
	volumedrivers "github.com/libopenstorage/openstorage/volume/drivers"
	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
	"github.com/sirupsen/logrus"
)

// volumeDriver is never asked for a volume here: those live in the storage
// cluster's process. The CSI server wants one nonetheless.
const volumeDriver = "fake"

type config struct {
	sdkSocket, csiSocket, clusterID, nodeID, driverName string
}

func (c config) validate() error {
	switch {
	case c.sdkSocket == "":
		return errors.New("no -sdk-socket")
	case c.csiSocket == "":
		return errors.New("no -csi-socket")
	case c.clusterID == "" || c.nodeID == "":
		return errors.New("no -cluster-id or -node-id")
	case os.Getenv("KUBECONFIG") == "":
		return errors.New("KUBECONFIG is not set: claims could not be read")
	}
	return nil
}

// oneNode answers for the node that this endpoint is on, as kubelets ask
// (NodeGetInfo). The cluster manager itself would ask the members of a cluster
// that it never joined, and panic.
type oneNode struct {
	cluster.Cluster

	id string
}

// Enumerate returns the node alone.
func (o oneNode) Enumerate() (api.Cluster, error) {
	return api.Cluster{NodeId: o.id, Nodes: []*api.Node{{Id: o.id}}}, nil
}

// Inspect returns the node.
func (o oneNode) Inspect(id string) (api.Node, error) {
	if id != o.id {
		return api.Node{}, fmt.Errorf("node %s is not here", id)
	}
	return api.Node{Id: o.id}, nil
}

// run serves until ctx ends.
func run(ctx context.Context, cfg config) error {
	if err := cfg.validate(); err != nil {
		return err
	}
	store, err := kvdb.New(mem.Name, "openstorage", nil, nil, kvdb.LogFatalErrorCB)
	if err != nil {
		return fmt.Errorf("make the key-value store: %w", err)
	}
	if err := kvdb.SetInstance(store); err != nil {
		return fmt.Errorf("use the key-value store: %w", err)
	}
	err = clustermanager.Init(openstorage.ClusterConfig{
		ClusterId: cfg.clusterID, NodeId: cfg.nodeID, MgmtIp: "127.0.0.1", DataIp: "127.0.0.1",
	})
	if err != nil {
		return fmt.Errorf("make the cluster manager: %w", err)
	}
	manager, err := clustermanager.Inst()
	if err != nil {
		return fmt.Errorf("make the cluster manager: %w", err)
	}
	if err := volumedrivers.Register(volumeDriver, map[string]string{}); err != nil {
		return fmt.Errorf("register the volume driver: %w", err)
	}
	sched.Init(time.Second)
	server, err := csi.NewOsdCsiServer(&csi.OsdCsiServerConfig{
		Net: "unix", Address: cfg.csiSocket, DriverName: volumeDriver, Cluster: oneNode{manager, cfg.nodeID},
		SdkUds: cfg.sdkSocket, CsiDriverName: cfg.driverName, SchedulerName: "kubernetes",
		// With one storage node there is nothing to balance.
		RoundRobinBalancer: loadbalancer.NewNullBalancer(),
	})
	if err != nil {
		return fmt.Errorf("make the CSI server: %w", err)
	}
	if err := server.Start(); err != nil {
		return fmt.Errorf("start the CSI server: %w", err)
	}
	defer server.Stop()
	logrus.Infof("ready: CSI on %s", cfg.csiSocket)
	<-ctx.Done()
	return nil
}
