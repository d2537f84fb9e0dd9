// Command issuer mints storage tokens by policy, beside the storage cluster.
package main

import (
	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/cmd/internal/command"
	"github.com/bulkhead-dev/bulkhead/issuer"
)

func main() {
	root := &cobra.Command{
		Use:   "issuer",
		Short: "Mint storage tokens for compute clusters, by policy",
		Args:  cobra.NoArgs,
	}
	root.AddCommand(serveCommand(), setupCommand())
	command.Main(root)
}

func serveCommand() *cobra.Command {
	var cfg issuer.Config
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the token endpoint and the public keys",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return issuer.Run(cmd.Context(), cfg) },
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Address, "address", ":8443", "host:port to serve tokens and keys on, with TLS")
	f.StringVar(&cfg.HTTPEndpoint, "http-endpoint", ":8080", "host:port to serve /metrics, /healthz and /readyz on; empty for none")
	f.StringVar(&cfg.IssuerURL, "issuer-url", "", "https URL of this issuer, as compute clusters and the storage cluster reach it (required)")
	f.StringVar(&cfg.TLSCertFile, "tls-cert-file", "", "serving certificate, PEM, reloaded when it changes (required)")
	f.StringVar(&cfg.TLSKeyFile, "tls-key-file", "", "key of the serving certificate, PEM (required)")
	f.StringVar(&cfg.SigningKeyFile, "signing-key-file", "", "P-256 private key that signs the tokens, PEM (required)")
	f.StringVar(&cfg.PolicyFile, "policy-file", "", "policy, YAML, reloaded when it changes (required)")
	f.DurationVar(&cfg.Backdate, "iat-backdate", issuer.DefaultBackdate, "how far the issue time of a token lies in the past, for clocks that differ")
	return cmd
}
