package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// startProxy starts kube-proxy, which makes Services work, in its nftables mode.
func (n *Node) startProxy(ctx context.Context) error {
	kubeconfig, err := n.compute.UserKubeconfig("kube-proxy", "system:kube-proxy")
	if err != nil {
		return err
	}
	const health = "127.0.0.1:10256"
	config, err := n.writeJSON("kube-proxy.json", map[string]any{
		"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
		"mode": "nftables", "clusterCIDR": podRange,
		"clientConnection":   map[string]any{"kubeconfig": kubeconfig, "qps": 200, "burst": 400},
		"hostnameOverride":   n.Name(),
		"bindAddress":        Address,
		"healthzBindAddress": health, "metricsBindAddress": "127.0.0.1:10249",
		// As they are: those of the machine cannot be changed from here.
		"conntrack": map[string]any{"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
	})
	if err != nil {
		return err
	}
	_, err = n.env.StartProgram(ctx, cluster.Program{
		Name: n.compute.Name + "-kube-proxy", Path: n.binaries.KubeProxy,
		Args:  []string{"--config=" + config},
		Ready: healthy("http://" + health + "/healthz"),
	})
	return err
}

// healthy is whether a URL answers 200.
func healthy(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return fmt.Errorf("get %s: %w", url, err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		if answer.StatusCode != http.StatusOK {
			err = fmt.Errorf("get %s: %s", url, answer.Status)
		}
		return errors.Join(err, answer.Body.Close())
	}
}
