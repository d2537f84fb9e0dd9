package main

import (
	"fmt"
	"time"

	csiconfig "github.com/kubernetes-csi/csi-lib-utils/config"
	"github.com/kubernetes-csi/csi-lib-utils/standardflags"
	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/sidecar"
)

func checkCommand() *cobra.Command {
	var (
		kubeconfig, namespace string
		timeout               time.Duration
	)
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check that the sidecar gets tokens and the storage cluster accepts them",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := csiconfig.BuildConfig(kubeconfig, standardflags.SidecarConfiguration{})
			if err != nil {
				return fmt.Errorf("kubeconfig: %w", err)
			}
			return sidecar.Check(cmd.Context(), config, namespace, timeout, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&kubeconfig, "kubeconfig", "", "path of a kubeconfig; the Pod's own account if empty")
	f.StringVar(&namespace, "namespace", "bulkhead-system", "namespace of the sidecar, with the ConfigMap "+sidecar.StatusName)
	f.DurationVar(&timeout, "timeout", time.Minute, "how long to wait for it")
	return cmd
}
