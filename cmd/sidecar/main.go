// Command sidecar keeps a fresh storage token for every namespace, beside the
// CSI driver of a compute cluster.
package main

import (
	"fmt"

	csiconfig "github.com/kubernetes-csi/csi-lib-utils/config"
	"github.com/kubernetes-csi/csi-lib-utils/standardflags"
	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/cmd/internal/command"
	"github.com/bulkhead-dev/bulkhead/internal/flags"
	"github.com/bulkhead-dev/bulkhead/sidecar"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// collectPercent is for command.CollectEarly: once all have their tokens there is one to
// replace every now and then, so the collector may run often.
const collectPercent = 25

func main() {
	var cfg sidecar.Config
	cmd := &cobra.Command{
		Use:   "sidecar",
		Short: "Keep a fresh storage token for every namespace",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			command.CollectEarly(collectPercent)
			cfg.Standard = standardflags.Configuration
			return sidecar.Run(cmd.Context(), cfg)
		},
	}
	cfg.Flags(cmd.Flags())
	cmd.AddCommand(releaseCommand(), checkCommand(), portsCommand())
	command.Main(cmd)
}

func releaseCommand() *cobra.Command {
	var (
		layout     tenancy.Layout
		kubeconfig string
	)
	cmd := &cobra.Command{
		Use:   "release",
		Short: "Take the sidecar's finalizers off all token Secrets, after an uninstall",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := csiconfig.BuildConfig(kubeconfig, standardflags.SidecarConfiguration{})
			if err != nil {
				return fmt.Errorf("kubeconfig: %w", err)
			}
			return sidecar.Release(cmd.Context(), config, layout, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&kubeconfig, "kubeconfig", "", "path of a kubeconfig; the Pod's own account if empty")
	flags.Layout(cmd.Flags(), &layout)
	return cmd
}
