package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/issuer"
)

// jwksPath is where a Kubernetes API server publishes the keys of its
// ServiceAccount tokens.
const jwksPath = "/openid/v1/jwks"

func registerCommand(c *connection) *cobra.Command {
	return &cobra.Command{
		Use:   "register NAME",
		Short: "Print the issuer's policy entry for this cluster",
		Long: "Prints the entry by which the issuer knows this compute cluster, with the keys that its API server\n" +
			"signs ServiceAccount tokens with. Add it to `clusters` in the issuer's policy. It holds nothing secret.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := c.client()
			if err != nil {
				return err
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
}
