// Command sidecar keeps a fresh storage token for every namespace, beside the
// CSI driver of a compute cluster.
package main

import (
	goflag "flag"
	"fmt"
	"time"

	csiconfig "github.com/kubernetes-csi/csi-lib-utils/config"
	"github.com/kubernetes-csi/csi-lib-utils/standardflags"
	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/cmd/internal/command"
	"github.com/bulkhead-dev/bulkhead/internal/flags"
	"github.com/bulkhead-dev/bulkhead/sidecar"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

func main() {
	var cfg sidecar.Config
	cmd := &cobra.Command{
		Use:   "sidecar",
		Short: "Keep a fresh storage token for every namespace",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			command.CollectEarly()
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
	f.StringVar(&cfg.DriverName, "driver-name", "", "name of the CSI driver, where --csi-address is empty")
	f.StringVar((*string)(&cfg.Proof), "proof", string(sidecar.OverCSI),
		"how tokens are proven: "+string(sidecar.OverCSI)+" (the driver's socket) or "+string(sidecar.OverSDK)+" (--sdk-address)")
	flags.Storage(f, &cfg.SDK)
	f.StringVar(&cfg.NamespaceSelector, "namespace-selector", "", "label selector of the namespaces that get tokens; all if empty")
	f.StringSliceVar(&cfg.Exempt, "exempt-namespace", nil, "namespace that gets no token; may be repeated")
	f.BoolVar(&cfg.Lazy, "lazy", false, "give tokens only to namespaces that have or ask for a claim of the driver's classes")
	f.DurationVar(&cfg.RetireTimeout, "retire-timeout", 10*time.Minute, //nolint:mnd // the default says what it is
		"in placement "+string(tenancy.InTenant)+": how long a namespace may be kept from going because its token cannot be moved")
	f.IntVar(&cfg.Workers, "workers", 10, "refreshes, and first tokens, worked on at once")
	flags.Issuer(f, &cfg.Issuer)
	flags.Layout(f, &cfg.Layout)
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
