package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/bulkhead-dev/bulkhead/webhook"
)

func checkCommand() *cobra.Command {
	var (
		kubeconfig, namespace string
		rules                 []string
	)
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check that the API server refuses what Bulkhead refuses",
		Long: "Shows the API server claims that reach out of their tenant, as dry runs, and fails unless each is refused by its rule.\n" +
			"Needs the right to create PersistentVolumeClaims in the namespace; nothing is made.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
			if err != nil {
				return fmt.Errorf("kubeconfig: %w", err)
			}
			return webhook.Check(cmd.Context(), config, namespace, rules, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&kubeconfig, "kubeconfig", "", "path of the kubeconfig; in-cluster if empty")
	f.StringVar(&namespace, "namespace", "default", "namespace of the claims, one that is not exempt")
	f.StringSliceVar(&rules, "rule", webhook.CheckedRules(), "rule to check: "+strings.Join(webhook.CheckedRules(), " or ")+" (repeatable)")
	return cmd
}
