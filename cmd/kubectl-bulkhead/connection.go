package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/bulkhead-dev/bulkhead/plugin/installation"
)

// requestTimeout bounds one request to the API server, unless --request-timeout
// says otherwise.
const requestTimeout = 30 * time.Second

// connection is which cluster a command is about, by the flags of kubectl.
type connection struct {
	kubectl *genericclioptions.ConfigFlags
	// bulkheadNamespace is the namespace of the release.
	bulkheadNamespace string
}

func newConnection() *connection {
	return &connection{kubectl: genericclioptions.NewConfigFlags(true)}
}

func (c *connection) flags(f *pflag.FlagSet) {
	c.kubectl.AddFlags(f)
	f.StringVar(&c.bulkheadNamespace, "bulkhead-namespace", installation.DefaultNamespace, "namespace that Bulkhead is installed in")
}

// config is how to reach the API server.
func (c *connection) config() (*rest.Config, error) {
	config, err := c.kubectl.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	if config.Timeout == 0 {
		config.Timeout = requestTimeout
	}
	// One person's tool: the API server's fair queueing bounds it.
	config.QPS = -1
	return config, nil
}

// client is a client of the API server.
func (c *connection) client() (kubernetes.Interface, error) {
	config, err := c.config()
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	return client, nil
}

// namespace is what -n says, empty if it says nothing.
func (c *connection) namespace() string { return *c.kubectl.Namespace }

// installation is how Bulkhead is set up there. Close it in the end.
func (c *connection) installation(ctx context.Context) (*installation.Installation, error) {
	client, err := c.client()
	if err != nil {
		return nil, err
	}
	return installation.Read(ctx, client, c.bulkheadNamespace)
}
