package node

import (
	"context"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// startScheduler starts what puts Pods on the node.
func (n *Node) startScheduler(ctx context.Context) error {
	kubeconfig, err := n.compute.UserKubeconfig("kube-scheduler", "system:kube-scheduler")
	if err != nil {
		return err
	}
	_, err = n.env.StartProgram(ctx, cluster.Program{
		Name: n.compute.Name + "-kube-scheduler", Path: n.binaries.KubeScheduler,
		Args: []string{
			"--kubeconfig=" + kubeconfig, "--leader-elect=false",
			"--kube-api-qps=200", "--kube-api-burst=400",
			"--secure-port=0", // nobody asks it anything
		},
	})
	return err
}
