package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/cmd/internal/command"
	"github.com/bulkhead-dev/bulkhead/storage"
)

func setupCommand() *cobra.Command {
	var (
		endpoint       storage.Endpoint
		adminTokenFile string
		keepGuest      bool
	)
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Prepare the storage cluster: narrow roles, no guest access",
		Long: "Creates the roles that Bulkhead's tokens carry and takes all rights from calls without a token.\n" +
			"Needs a token of a storage admin (role system.admin, group *). Safe to repeat.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			token, err := os.ReadFile(adminTokenFile)
			if err != nil {
				return fmt.Errorf("admin token: %w", err)
			}
			client, err := storage.Dial(endpoint)
			if err != nil {
				return err
			}
			defer func() { _ = client.Close() }()
			ctx := storage.WithToken(cmd.Context(), strings.TrimSpace(string(token)))
			if err := client.EnsureRoles(ctx); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "roles %s and %s are in place\n", storage.TenantRole, storage.InspectRole)
			if keepGuest {
				return nil
			}
			if err := client.DisableGuest(ctx); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "guest access is off")
			return nil
		},
	}
	command.StorageFlags(cmd.Flags(), &endpoint)
	cmd.Flags().StringVar(&adminTokenFile, "admin-token-file", "", "file with a token of a storage admin (required)")
	cmd.Flags().BoolVar(&keepGuest, "keep-guest", false, "leave guest access as it is: every volume without an owner stays open to all")
	_ = cmd.MarkFlagRequired("admin-token-file")
	return cmd
}
