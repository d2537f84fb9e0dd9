package main

import (
	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/issuer"
)

func checkCommand() *cobra.Command {
	var cfg issuer.CheckConfig
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check that the issuer publishes what a storage node reads at its start",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return issuer.Check(cmd.Context(), cfg, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.IssuerURL, "issuer-url", "", "https URL of the issuer (required)")
	f.StringVar(&cfg.Connect, "connect", "", "host:port or tcp://host:port to connect to in place of the URL's")
	f.StringArrayVar(&cfg.CAFiles, "ca-file", nil, "PEM file that verifies the issuer beside the system's roots, left out if missing (repeatable)")
	f.BoolVar(&cfg.NoKeys, "no-keys", false, "let it publish no key, where the storage cluster has the key as a file")
	_ = cmd.MarkFlagRequired("issuer-url")
	return cmd
}
