// Command issuer mints storage tokens by policy, beside the storage cluster.
package main

import (
	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/cmd/internal/command"
)

func main() {
	root := &cobra.Command{
		Use:   "issuer",
		Short: "Mint storage tokens for compute clusters, by policy",
	}
	root.AddCommand(serveCommand(), bootstrapCommand(), keysCommand(), checkCommand())
	command.Main(root)
}
