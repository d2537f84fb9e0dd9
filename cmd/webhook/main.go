// Command webhook injects token references and refuses cross-tenant ones, at
// the admission of a compute cluster's API server.
package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/bulkhead-dev/bulkhead/cmd/internal/command"
	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/webhook"
)

func main() {
	var (
		cfg         = webhook.Config{Drivers: tenancy.DefaultDrivers()}
		certificate certificateOptions
		kubeconfig  string
	)
	cmd := &cobra.Command{
		Use:   "webhook",
		Short: "Admit storage objects: inject token references, refuse cross-tenant ones",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if cfg.Kubernetes, err = clientcmd.BuildConfigFromFlags("", kubeconfig); err != nil {
				return fmt.Errorf("kubeconfig: %w", err)
			}
			// The API server's fair queueing bounds us; a limit here would let one
			// tenant's requests keep those of others waiting past their deadline.
			cfg.Kubernetes.QPS = -1
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
	f.StringArrayVar(&cfg.Drivers.CSI, "csi-driver", cfg.Drivers.CSI, "name of a CSI driver of the storage cluster (repeatable)")
	f.StringArrayVar(&cfg.Drivers.InTree, "in-tree-plugin", cfg.Drivers.InTree, "name of an in-tree plugin of the storage cluster (repeatable)")
	f.StringArrayVar(&cfg.Provisioners, "provisioner-service-account", nil,
		"namespace/name of the ServiceAccount under which the driver's csi-provisioner runs (repeatable)")
	f.StringVar(&cfg.Sidecar, "sidecar-service-account", "bulkhead-system/bulkhead-sidecar",
		"namespace/name of the ServiceAccount of Bulkhead's sidecar, which alone moves references to retired tokens")
	f.StringVar(&certificate.self.WebhookConfiguration, "webhook-configuration", "bulkhead", "name of the webhook configurations that shall trust the CA, with which the names of the policies begin")
	f.StringVar(&cfg.ClientCAFile, "client-ca-file", "", "PEM bundle that verifies the certificate that callers must show; none is asked for if empty")
	f.DurationVar(&cfg.ShutdownDelay, "shutdown-delay", 7*time.Second, "how long to serve on once told to end, until the API servers have learnt it")
	certificateFlags(f, &certificate)
	policyFlags(f, &cfg.Policy)
	command.IssuerFlags(f, &cfg.Issuer)
	command.StorageFlags(f, &cfg.Storage)
	command.LayoutFlags(f, &cfg.Layout)
	cmd.AddCommand(checkCommand())
	command.Main(cmd)
}

// policyFlags are what the admin decides about the rules.
func policyFlags(f *pflag.FlagSet, p *webhook.Policy) {
	f.StringArrayVar(&p.Modes, "rule-mode", nil,
		"<rule>=enforce|warn|off, e.g. BH-A4=warn (repeatable); a rule that is not named is enforced")
	f.StringArrayVar(&p.ExemptNamespaces, "exempt-namespace", nil, "namespace whose own objects no rule judges (repeatable)")
	f.StringArrayVar(&p.ExemptUsers, "exempt-user", nil,
		"<user>=<rule>[,<rule>...]: a user whom those rules do not judge, e.g. system:serviceaccount:velero:velero=BH-B5 (repeatable)")
	f.StringArrayVar(&p.SourceKinds, "data-source-kind", nil,
		"<kind>.<group> that a claim may take its data from, besides PersistentVolumeClaim and VolumeSnapshot (repeatable)")
	f.StringVar((*string)(&p.Tunable), "tunable", string(webhook.TunableAllow),
		"what claims may do with keys that tune the driver: allow, deny, or class (those that the annotation "+webhook.TunableKeys+" of their class lists)")
	f.StringVar((*string)(&p.Stork), "stork", string(webhook.StorkRefuse),
		"what happens to objects by which Stork acts on volumes: refuse, or tenant (they get the token of their namespace)")
}
