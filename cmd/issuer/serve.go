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
	cfg.Flags(f)
	endpoints.Flags(f, "SDK endpoint of a storage node that is made to read the keys again when a new key signs (repeatable)")
	f.StringVar(&setup.AdminTokenFile, "bootstrap-admin-token-file", "", "token of a storage admin: set up the storage cluster at start, as `issuer bootstrap` does")
	f.BoolVar(&setup.DisableGuest, "disable-guest", false, "with --bootstrap-admin-token-file: turn guest access off")
	return cmd
}
