package node

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

const (
	cniPlugins       = "/usr/lib/cni"
	cniFolder        = "/run/cni"
	containerdSocket = "/run/containerd/containerd.sock"
	// PauseImage holds the namespaces of every Pod; for tests it is a Pod that does
	// nothing or, with an address as its argument, answers there.
	PauseImage = "bulkhead.test/pause:1"
)

// containerdConfig runs Pods without the right to lower their OOM score, which
// needs a capability that not every machine's root has, and without a registry.
const containerdConfig = `version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "` + containerdSocket + `"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  sandbox_image = "` + PauseImage + `"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "` + cniPlugins + `"
    conf_dir = "` + cniFolder + `"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
`

func (n *Node) startContainerd(ctx context.Context) error {
	network, err := json.Marshal(map[string]any{
		"cniVersion": "0.4.0", "name": "pods",
		"plugins": []any{map[string]any{
			"type": "bridge", "bridge": "pods0",
			"isGateway": true,
			// A Pod reaches itself by way of a Service.
			"hairpinMode": true,
			"ipam": map[string]any{
				"type": "host-local", "dataDir": "/run/cni-addresses",
				"ranges": []any{[]any{map[string]any{"subnet": podRange}}},
				"routes": []any{map[string]any{"dst": "0.0.0.0/0"}},
			},
		}},
	})
	if err != nil {
		return fmt.Errorf("network of Pods: %w", err)
	}
	if err := os.MkdirAll(cniFolder, 0o700); err != nil {
		return fmt.Errorf("network of Pods: %w", err)
	}
	if err := os.WriteFile(filepath.Join(cniFolder, "pods.conflist"), network, 0o600); err != nil {
		return fmt.Errorf("network of Pods: %w", err)
	}
	config, err := n.write("containerd.toml", []byte(containerdConfig))
	if err != nil {
		return err
	}
	_, err = n.env.StartProgram(ctx, cluster.Program{
		Name: n.compute.Name + "-containerd", Path: packages()["containerd"],
		Args: []string{"--config", config, "--log-level", "warn"},
		Ready: func(ctx context.Context) error {
			return n.ctr(ctx, "version")
		},
	})
	return err
}

// Import makes the images of a tar, an OCI image layout, known to the node.
func (n *Node) Import(ctx context.Context, tar string) error {
	return n.ctr(ctx, "--namespace", "k8s.io", "images", "import", tar)
}

// ctr runs containerd's own client.
func (n *Node) ctr(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "/usr/bin/ctr", append([]string{"--address", containerdSocket}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("ctr %v: %w: %s", args, err, out)
	}
	return nil
}
