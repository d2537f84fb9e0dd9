package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/plugin/inspect"
	"github.com/bulkhead-dev/bulkhead/plugin/output"
	"github.com/bulkhead-dev/bulkhead/storage"
)

func tokenCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Look at the token of a namespace", RunE: subcommandsOnly}
	cmd.AddCommand(inspectCommand(c))
	return cmd
}

func inspectCommand(c *connection) *cobra.Command {
	var at storageEndpoint
	format := output.Table
	cmd := &cobra.Command{
		Use:   "inspect -n NAMESPACE",
		Short: "Show the claims of a namespace's token and the storage cluster's verdict, never the token",
		Long: "Shows the claims of a namespace's token, what is wrong with them, and whether the storage cluster accepts\n" +
			"the token. The token itself is never shown. It takes the right to read the token Secret.\n\n" +
			"Exit codes: 0 all is well, 1 something is wrong with the token, 2 it did not work.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if c.namespace() == "" {
				return errors.New("want the namespace: -n")
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			installed, err := c.installation(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, installed.Close()) }()
			asked, err := storage.Dial(at.or(installed, cmd.Flags()))
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, asked.Close()) }()
			report, err := inspect.Token(cmd.Context(), inspect.Config{
				Client: client, Installation: installed, Namespace: c.namespace(), Storage: asked, Now: time.Now(),
			})
			if err != nil {
				return err
			}
			if err := output.Print(cmd.OutOrStdout(), format, report, report.Print); err != nil {
				return err
			}
			if len(report.Problems) > 0 {
				return errFindings
			}
			return nil
		},
	}
	at.flags(cmd.Flags())
	formatFlag(cmd, &format)
	return cmd
}
