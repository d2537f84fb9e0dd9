package main

import (
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/spf13/cobra"
)

// portTimeout is how long a port that is filtered is waited for.
const portTimeout = 5 * time.Second

// portsCommand is what the Pod of kubectl bulkhead preflight runs.
func portsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "try-ports HOST:PORT...",
		Short: "Tell which TCP ports are open from here (kubectl bulkhead preflight runs it in a Pod)",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			states := make([]string, len(args))
			var group sync.WaitGroup
			for i, target := range args {
				group.Go(func() {
					dialer := net.Dialer{Timeout: portTimeout}
					states[i] = "closed"
					if conn, err := dialer.DialContext(cmd.Context(), "tcp", target); err == nil {
						_ = conn.Close()
						states[i] = "open"
					}
				})
			}
			group.Wait()
			for i, target := range args {
				fmt.Fprintln(cmd.OutOrStdout(), target, states[i])
			}
			return nil
		},
	}
}
