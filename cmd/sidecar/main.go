// Command sidecar keeps a fresh storage token for every namespace, beside the
// CSI driver of a compute cluster.
package main

import (
	goflag "flag"

	"github.com/kubernetes-csi/csi-lib-utils/standardflags"
	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/cmd/internal/command"
	"github.com/bulkhead-dev/bulkhead/sidecar"
)

func main() {
	var cfg sidecar.Config
	cmd := &cobra.Command{
		Use:   "sidecar",
		Short: "Keep a fresh storage token for every namespace",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.Standard = standardflags.Configuration
			return sidecar.Run(cmd.Context(), cfg)
		},
	}
	f := cmd.Flags()
	standard := goflag.NewFlagSet("standard", goflag.ContinueOnError)
	standardflags.RegisterCommonFlags(standard)
	f.AddGoFlagSet(standard)
	// The library registers this one with the process-wide flags.
	f.AddGoFlag(goflag.Lookup("metrics-path"))
	f.IntVar(&cfg.Workers, "workers", 10, "namespaces worked on at once")
	command.IssuerFlags(f, &cfg.Issuer)
	command.LayoutFlags(f, &cfg.Layout)
	command.Main(cmd)
}
