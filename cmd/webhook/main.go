// Command webhook injects token references and refuses cross-tenant ones, at
// the admission of a compute cluster's API server.
package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/bulkhead-dev/bulkhead/cmd/internal/command"
	"github.com/bulkhead-dev/bulkhead/internal/flags"
	"github.com/bulkhead-dev/bulkhead/webhook"
)

// collectPercent is for command.CollectEarly: requests wait while the collector runs.
const collectPercent = 50

func main() {
	var (
		cfg         webhook.Config
		certificate certificateOptions
		kubeconfig  string
	)
	cmd := &cobra.Command{
		Use:   "webhook",
		Short: "Admit storage objects: inject token references, refuse cross-tenant ones",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			command.CollectEarly(collectPercent)
			var err error
			if cfg.Kubernetes, err = clientcmd.BuildConfigFromFlags("", kubeconfig); err != nil {
				return fmt.Errorf("kubeconfig: %w", err)
			}
			// The API server's fair queueing bounds us; a limit here would let one
			// tenant's requests keep those of others waiting past their deadline.
			cfg.Kubernetes.QPS = -1
			// The API server would compress each event of a watch apart, which costs it more
			// than to send it.
			cfg.Kubernetes.DisableCompression = true
			if cfg.Certificate, err = certificate.certificate(cfg.Kubernetes); err != nil {
				return err
			}
			cfg.Registration = certificate.self.WebhookConfiguration
			return webhook.Run(cmd.Context(), cfg)
		},
	}
	f := cmd.Flags()
	f.StringVar(&kubeconfig, "kubeconfig", "", "path of the kubeconfig; in-cluster if empty")
	f.StringVar(&cfg.Address, "address", ":9443", "host:port to serve admission on, with TLS")
	f.StringVar(&cfg.HTTPEndpoint, "http-endpoint", ":8080", `host:port to serve /metrics, /healthz and /readyz on; "0" for none`)
	cfg.RuleFlags(f)
	f.StringVar(&certificate.self.WebhookConfiguration, "webhook-configuration", "bulkhead", "name of the webhook configurations that shall trust the CA, with which the names of the policies begin")
	f.StringVar(&cfg.ClientCAFile, "client-ca-file", "", "PEM bundle that verifies the certificate that callers must show; none is asked for if empty")
	f.DurationVar(&cfg.ShutdownDelay, "shutdown-delay", 7*time.Second, "how long to serve on once told to end, until the API servers have learnt it")
	certificateFlags(f, &certificate)
	flags.Issuer(f, &cfg.Issuer)
	flags.Storage(f, &cfg.Storage)
	flags.Layout(f, &cfg.Layout)
	cmd.AddCommand(checkCommand())
	command.Main(cmd)
}
