package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// startKubelet starts the kubelet with the credential of a node, and waits until
// Pods may run on it.
func (n *Node) startKubelet(ctx context.Context) error {
	kubeconfig, err := n.compute.UserKubeconfig("kubelet", "system:node:"+n.Name(), "system:nodes")
	if err != nil {
		return err
	}
	resolver, err := n.write("resolv.conf", []byte("# no DNS\n"))
	if err != nil {
		return err
	}
	config, err := n.writeJSON("kubelet.json", map[string]any{
		"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
		"authentication": map[string]any{
			"anonymous": map[string]any{"enabled": false},
			"webhook":   map[string]any{"enabled": true},
			"x509":      map[string]any{"clientCAFile": n.compute.CAFile()},
		},
		"authorization":            map[string]any{"mode": "Webhook"},
		"containerRuntimeEndpoint": "unix://" + containerdSocket,
		"address":                  Address,
		"resolvConf":               resolver,
		"cgroupDriver":             "cgroupfs", "cgroupRoot": "/" + cgroup,
		"failCgroupV1": false, "failSwapOn": false,
		"volumePluginDir": "/var/lib/kubelet/volume-plugins",
		// A full disk is not what is tested, and no image that goes comes back.
		"evictionHard":                map[string]string{"imagefs.available": "0%", "nodefs.available": "0%", "memory.available": "0%"},
		"imageGCHighThresholdPercent": 100,
		// The default of 50 a second is below what a test of many claims makes.
		"kubeAPIQPS": 200, "kubeAPIBurst": 400,
	})
	if err != nil {
		return err
	}
	n.kubelet, err = n.env.StartProgram(ctx, cluster.Program{
		Name: n.compute.Name + "-kubelet", Path: n.binaries.Kubelet,
		Args: []string{
			"--config=" + config, "--kubeconfig=" + kubeconfig,
			"--hostname-override=" + n.Name(), "--node-ip=" + Address,
		},
		Ready: n.ready,
	})
	return err
}

// ready is whether the node says that it is ready and Pods may be put on it.
func (n *Node) ready(ctx context.Context) error {
	node, err := n.compute.Client.CoreV1().Nodes().Get(ctx, n.Name(), metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("get node: %w", err)
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady && condition.Status != corev1.ConditionTrue {
			return fmt.Errorf("the node is not ready: %s", condition.Message)
		}
	}
	if len(node.Status.Conditions) == 0 {
		return errors.New("the node has not said how it is")
	}
	if len(node.Spec.Taints) > 0 {
		return fmt.Errorf("the node has the taint %s", node.Spec.Taints[0].ToString())
	}
	return nil
}

// writeJSON writes a component's configuration, which may be JSON as well as YAML.
func (n *Node) writeJSON(name string, value any) (string, error) {
	raw, err := json.Marshal(value)
	if err != nil {
		return "", fmt.Errorf("write %s: %w", name, err)
	}
	return n.write(name, raw)
}
