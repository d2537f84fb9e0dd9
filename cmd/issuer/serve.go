package main

import (
	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/internal/flags"
	"github.com/bulkhead-dev/bulkhead/issuer"
)

func serveCommand() *cobra.Command {
	var (
		cfg       issuer.Config
		endpoints flags.StorageEndpoints
		setup     issuer.Setup
	)
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the token endpoint and the public keys",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.StorageEndpoints = endpoints.List()
			if setup != (issuer.Setup{}) {
				cfg.Bootstrap = &setup
			}
			return issuer.Run(cmd.Context(), cfg)
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Address, "address", ":8443", "host:port to serve tokens and keys on, with TLS")
	f.StringVar(&cfg.HTTPEndpoint, "http-endpoint", ":8080", "host:port to serve /metrics, /healthz and /readyz on; empty for none")
	f.StringVar(&cfg.IssuerURL, "issuer-url", "", "https URL of this issuer, as compute clusters and the storage cluster reach it (required)")
	f.StringVar(&cfg.TokenIssuer, "token-issuer", "", "`iss` of the tokens; the issuer URL if empty, the storage cluster's jwt_issuer in its self-signed modes")
	f.StringVar(&cfg.TLSCertFile, "tls-cert-file", "", "serving certificate, PEM, reloaded when it changes (required)")
	f.StringVar(&cfg.TLSKeyFile, "tls-key-file", "", "key of the serving certificate, PEM (required)")
	f.StringVar(&cfg.KeysDir, "keys-dir", "", "folder of the signing keys, such as a mounted Secret, reloaded when it changes (required)")
	f.StringVar(&cfg.PolicyFile, "policy-file", "", "policy, YAML, reloaded when it changes (required)")
	f.DurationVar(&cfg.Backdate, "iat-backdate", issuer.DefaultBackdate, "how far the issue time of a token lies in the past, for clocks that differ")
	f.StringVar(&cfg.AuditLog, "audit-log", "-", "file that a JSON line for each exchange is appended to; - for standard output")
	endpoints.Flags(f, "SDK endpoint of a storage node that is made to read the keys again when a new key signs (repeatable)")
	f.StringVar(&setup.AdminTokenFile, "bootstrap-admin-token-file", "", "token of a storage admin: set up the storage cluster at start, as `issuer bootstrap` does")
	f.BoolVar(&cfg.DiscoverPrivate, "discover-private", false, "let the discovery of a cluster's keys reach private addresses")
	f.BoolVar(&setup.DisableGuest, "disable-guest", false, "with --bootstrap-admin-token-file: turn guest access off")
	return cmd
}
