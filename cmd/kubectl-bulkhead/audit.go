package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/plugin/audit"
	"github.com/bulkhead-dev/bulkhead/plugin/output"
)

func auditCommand(c *connection) *cobra.Command {
	var (
		admin  storageAdmin
		format = output.Table
		failOn = audit.Medium
	)
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Find what exists and breaks a rule",
		Long: "Finds what exists in this cluster and breaks a rule today: what was made before the install, or while the\n" +
			"webhook was away. With the token of a storage admin it asks the storage cluster too: whose volumes are, and\n" +
			"whom they are open to. It changes nothing.\n\n" +
			"Exit codes: 0 nothing of that severity was found, 1 something was, 2 the audit did not work, or\n" +
			"not everything that was asked for could be judged.",
		Example: "  kubectl bulkhead audit\n" +
			"  kubectl bulkhead audit --storage-token-file admin.token --fail-on high -o json",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			config, err := c.config()
			if err != nil {
				return err
			}
			installed, err := c.installation(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, installed.Close()) }()
			asked, err := admin.open(installed, cmd.Flags())
			if err != nil {
				return err
			}
			shown := newProgress(cmd.ErrOrStderr())
			report, err := audit.Run(cmd.Context(), audit.Config{
				Kubernetes: config, Installation: installed, Storage: asked, Progress: shown.show,
			})
			shown.end()
			if err != nil {
				return err
			}
			if err := output.Print(cmd.OutOrStdout(), format, report, report.Print); err != nil {
				return err
			}
			switch {
			case report.Reaches(failOn):
				return errFindings
			case report.Incomplete && failOn != audit.None:
				return errIncomplete
			}
			return nil
		},
	}
	f := cmd.Flags()
	admin.flags(f)
	formatFlag(cmd, &format)
	f.Var(&failOn, "fail-on", "severity from which on a finding makes the exit code 1: low, medium, high, or none for never")
	complete(cmd, "fail-on", audit.Severities())
	return cmd
}
