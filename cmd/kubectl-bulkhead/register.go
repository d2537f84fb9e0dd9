package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/bulkhead-dev/bulkhead/issuer"
)

// jwksPath is where a Kubernetes API server publishes the keys of its
// ServiceAccount tokens.
const jwksPath = "/openid/v1/jwks"

func registerCommand() *cobra.Command {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	overrides := &clientcmd.ConfigOverrides{}
	cmd := &cobra.Command{
		Use:   "register NAME",
		Short: "Print the issuer's policy entry for this cluster",
		Long: "Prints the entry by which the issuer knows this compute cluster, with the keys that its API server\n" +
			"signs ServiceAccount tokens with. Add it to `clusters` in the issuer's policy. It holds nothing secret.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides).ClientConfig()
			if err != nil {
				return fmt.Errorf("kubeconfig: %w", err)
			}
			config.Timeout = 30 * time.Second
			client, err := kubernetes.NewForConfig(config)
			if err != nil {
				return fmt.Errorf("kubeconfig: %w", err)
			}
			jwks, err := client.Discovery().RESTClient().Get().AbsPath(jwksPath).DoRaw(cmd.Context())
			if err != nil {
				return fmt.Errorf("read the cluster's keys from %s: %w", jwksPath, err)
			}
			stanza, err := issuer.Stanza(args[0], jwks)
			if err != nil {
				return err
			}
			fmt.Fprint(cmd.OutOrStdout(), stanza)
			return nil
		},
	}
	cmd.Flags().StringVar(&rules.ExplicitPath, "kubeconfig", "", "path of the kubeconfig")
	clientcmd.BindOverrideFlags(overrides, cmd.Flags(), clientcmd.RecommendedConfigOverrideFlags(""))
	return cmd
}
