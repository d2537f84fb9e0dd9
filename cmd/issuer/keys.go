package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/bulkhead-dev/bulkhead/issuer"
)

// keyFlags say where the keys are.
type keyFlags struct {
	dir, secret, kubeconfig string
}

func (k *keyFlags) register(f *pflag.FlagSet) {
	f.StringVar(&k.dir, "keys-dir", "", "folder of the signing keys")
	f.StringVar(&k.secret, "secret", "", "namespace/name of the Kubernetes Secret that the issuer's replicas mount, instead of a folder")
	f.StringVar(&k.kubeconfig, "kubeconfig", "", "path of the kubeconfig, with --secret; the usual places if empty")
}

func (k *keyFlags) keys() (*issuer.Keys, error) {
	keys := &issuer.Keys{Now: time.Now}
	switch {
	case (k.dir == "") == (k.secret == ""):
		return nil, errors.New("want either --keys-dir or --secret")
	case k.dir != "":
		keys.Store = issuer.DirStore(k.dir)
		return keys, nil
	}
	store, err := k.secretStore()
	if err != nil {
		return nil, err
	}
	keys.Store = store
	return keys, nil
}

func (k *keyFlags) secretStore() (*issuer.SecretStore, error) {
	namespace, name, ok := strings.Cut(k.secret, "/")
	if !ok || namespace == "" || name == "" {
		return nil, fmt.Errorf("--secret %q: want namespace/name", k.secret)
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = k.kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	return &issuer.SecretStore{Secrets: client.CoreV1().Secrets(namespace), Name: name}, nil
}

func newKeyFlags(f *pflag.FlagSet, k *issuer.NewKey) {
	f.StringVar(&k.Algorithm, "algorithm", "ES256", "of the new key: ES256 or RS256")
	f.StringVar(&k.Issuer, "issuer", "", "`iss` of the new key's tokens where it is not the server's: the next issuer name in the self-signed modes")
}

func keysCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "keys", Short: "Make, list, rotate and revoke signing keys"}
	cmd.AddCommand(initKeysCommand(), listKeysCommand(), rotateKeysCommand(), revokeKeyCommand())
	return cmd
}

func initKeysCommand() *cobra.Command {
	var (
		at        keyFlags
		algorithm string
	)
	cmd := &cobra.Command{
		Use: "init", Short: "Make the Secret with a first key, if there is none", Args: cobra.NoArgs,
		Long: "Makes a first signing key in a Kubernetes Secret that is missing or empty, and leaves any other alone.\n" +
			"The chart runs it before the issuer starts, so that no key is ever in a manifest or a Helm release.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			store, err := at.secretStore()
			if err != nil {
				return err
			}
			made, err := store.Init(cmd.Context(), algorithm)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), map[bool]string{true: "made a first key", false: "there are keys already; nothing changed"}[made])
			return nil
		},
	}
	at.register(cmd.Flags())
	cmd.Flags().StringVar(&algorithm, "algorithm", "ES256", "ES256 or RS256")
	return cmd
}

func listKeysCommand() *cobra.Command {
	var at keyFlags
	cmd := &cobra.Command{
		Use: "list", Short: "Show each key and what happens to it when", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			keys, err := at.keys()
			if err != nil {
				return err
			}
			all, err := keys.List(cmd.Context())
			if err != nil {
				return err
			}
			return printKeys(cmd.OutOrStdout(), all)
		},
	}
	at.register(cmd.Flags())
	return cmd
}

func rotateKeysCommand() *cobra.Command {
	var (
		at    keyFlags
		fresh issuer.NewKey
		lead  time.Duration
	)
	cmd := &cobra.Command{
		Use: "rotate", Short: "Add a key that signs soon, and show what happens when", Args: cobra.NoArgs,
		Long: "Publishes a new key now, lets it sign after --lead, and keeps the key before it published until the last\n" +
			"token it signed has expired. Replicas of the issuer notice within seconds of their folder changing; none restarts.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			keys, err := at.keys()
			if err != nil {
				return err
			}
			all, err := keys.Rotate(cmd.Context(), fresh, lead)
			if err != nil {
				return err
			}
			return printKeys(cmd.OutOrStdout(), all)
		},
	}
	at.register(cmd.Flags())
	newKeyFlags(cmd.Flags(), &fresh)
	cmd.Flags().DurationVar(&lead, "lead", issuer.DefaultLead, "how long the key is published before it signs: longer than a Secret takes to reach every replica")
	return cmd
}

func revokeKeyCommand() *cobra.Command {
	var (
		at    keyFlags
		fresh issuer.NewKey
	)
	cmd := &cobra.Command{
		Use: "revoke KEY", Short: "Remove a leaked key at once, and sign with a new one", Args: cobra.ExactArgs(1),
		Long: "Removes the key and adds one that signs at once. The issuer then shows each --sdk-address that it serves a token\n" +
			"of the new key, which makes that storage node read the keys again and forget the old one. A storage node that is\n" +
			"not configured there believes the old key until it meets an unknown one: at the latest when it restarts.\n" +
			"Until every replica has read the new folder, some exchanges and calls fail and are repeated.",
		RunE: func(cmd *cobra.Command, args []string) error {
			keys, err := at.keys()
			if err != nil {
				return err
			}
			all, err := keys.Revoke(cmd.Context(), args[0], fresh)
			if err != nil {
				return err
			}
			return printKeys(cmd.OutOrStdout(), all)
		},
	}
	at.register(cmd.Flags())
	newKeyFlags(cmd.Flags(), &fresh)
	return cmd
}

func printKeys(out io.Writer, all []issuer.KeyStatus) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tALGORITHM\tSTATE\tPUBLISHED FROM\tSIGNS FROM\tPUBLISHED UNTIL\tKEY ID")
	for _, k := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.Name, k.Algorithm, k.State,
			moment(k.Publish, "always"), moment(k.Sign, "always"), moment(k.End, "another key signs"), k.ID)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

func moment(t time.Time, never string) string {
	if t.IsZero() {
		return never
	}
	return t.UTC().Format(time.RFC3339)
}
