package main

import (
	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/plugin/output"
)

// formatFlag is -o of a command that shows something.
func formatFlag(cmd *cobra.Command, format *output.Format) {
	cmd.Flags().VarP(format, "output", "o", "table, json or yaml")
	complete(cmd, "output", output.Formats())
}

// complete has a shell offer the values of a flag.
func complete(cmd *cobra.Command, flag string, values []string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // there is no such flag
	}
}
