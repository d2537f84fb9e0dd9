package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/internal/flags"
	"github.com/bulkhead-dev/bulkhead/issuer"
	"github.com/bulkhead-dev/bulkhead/storage"
)

func bootstrapCommand() *cobra.Command {
	var (
		endpoints flags.StorageEndpoints
		setup     issuer.Setup
		minting   issuer.Minting
	)
	cmd := &cobra.Command{
		Use:   "bootstrap",
		Short: "Prepare the storage cluster: narrow roles, guest access, a proof that tokens work",
		Long: "Creates or repairs the roles that Bulkhead's tokens carry, reports guest access and turns it off when told to.\n" +
			"Where it gets the signing keys, it also proves that a fresh token is accepted and a stranger's is not.\n" +
			"Needs a token of a storage admin (role system.admin, group *). Safe to repeat.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var clients []*storage.Client
			for _, endpoint := range endpoints.List() {
				client, err := storage.Dial(endpoint)
				if err != nil {
					return err
				}
				defer func() { _ = client.Close() }()
				clients = append(clients, client)
			}
			proof := &minting
			switch {
			case minting.KeysDir == "":
				proof = nil
			case minting.TokenIssuer == "" || minting.StorageCluster == "":
				return errors.New("--keys-dir needs --token-issuer and --storage-cluster")
			}
			return issuer.Bootstrap(cmd.Context(), clients, setup, proof, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	endpoints.Flags(f, "SDK endpoint of a storage node (repeatable, at least one)")
	f.StringVar(&setup.AdminTokenFile, "admin-token-file", "", "file with a token of a storage admin (required)")
	f.BoolVar(&setup.DisableGuest, "disable-guest", false, "take all rights from calls without a token")
	f.StringVar(&minting.KeysDir, "keys-dir", "", "folder of the signing keys, to prove that tokens work")
	f.StringVar(&minting.TokenIssuer, "token-issuer", "", "`iss` of the tokens, with --keys-dir")
	f.StringVar(&minting.StorageCluster, "storage-cluster", "", "id of the storage cluster, with --keys-dir")
	f.DurationVar(&minting.Backdate, "iat-backdate", issuer.DefaultBackdate, "how far the issue time of the token lies in the past, with --keys-dir")
	_ = cmd.MarkFlagRequired("admin-token-file")
	return cmd
}
