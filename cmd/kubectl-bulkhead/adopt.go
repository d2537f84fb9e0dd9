package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/metadata"

	"github.com/bulkhead-dev/bulkhead/plugin/adopt"
)

// adoptOptions are the flags that all subcommands of adopt have.
type adoptOptions struct {
	connection *connection
	dryRun     bool
	yes        bool
	auditFile  string
	workers    int
	all        bool
	admin      storageAdmin
}

func adoptCommand(c *connection) *cobra.Command {
	o := &adoptOptions{connection: c}
	cmd := &cobra.Command{
		Use:   "adopt",
		Short: "Bring under management what was there before",
		Long: "Brings under management what was there before Bulkhead: classes and volumes that name another Secret, and\n" +
			"on the storage cluster what nobody or a shared subject owns. Each shows what changes, and asks.\n" +
			"Nothing is deleted on the storage cluster. A run that was killed is finished by the next.",
		RunE: subcommandsOnly,
	}
	f := cmd.PersistentFlags()
	f.BoolVar(&o.dryRun, "dry-run", false, "show what would be changed, and change nothing")
	f.BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	f.StringVar(&o.auditFile, "audit-file", "", "file to which each change is added before it is made; bulkhead-adopt-<time>.jsonl if empty")
	f.IntVar(&o.workers, "workers", 4, "objects worked on at once") //nolint:mnd // the default says what it is
	cmd.AddCommand(
		o.kind("storageclass", "storageclasses", "Have StorageClasses name the token of each claim's namespace", (*adopt.Adopter).Classes),
		o.kind("snapshotclass", "snapshotclasses", "Have VolumeSnapshotClasses name the token of each snapshot's namespace", (*adopt.Adopter).SnapshotClasses),
		o.kind("pv", "pvs", "Have PersistentVolumes name the token of their claim's namespace, and say whose they are", (*adopt.Adopter).Volumes),
		o.kind("snapshotcontent", "snapshotcontents", "Have VolumeSnapshotContents name the token of their snapshot's namespace, and say whose they are", (*adopt.Adopter).Contents),
		o.kind("claim", "claims", "Have PersistentVolumeClaims that name another Secret name the token of their namespace", (*adopt.Adopter).Claims),
		o.volume(), o.finish(), o.undo(),
	)
	return cmd
}

// kind is the subcommand that adopts objects of one kind.
func (o *adoptOptions) kind(name, plural, short string, run func(*adopt.Adopter, context.Context, adopt.Selection) error) *cobra.Command {
	cmd := &cobra.Command{
		Use: name + " NAME... | --all", Aliases: []string{plural}, Short: short,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.with(cmd, func(a *adopt.Adopter, _ *adopt.Storage) error {
				return run(a, cmd.Context(), adopt.Selection{Names: args, All: o.all, Namespace: o.connection.namespace()})
			})
		},
	}
	cmd.Flags().BoolVar(&o.all, "all", false, "every one that needs it; with -n, of that namespace")
	return cmd
}

func (o *adoptOptions) volume() *cobra.Command {
	var from []string
	cmd := &cobra.Command{
		Use: "volume ID... | --from-subject SUBJECT | --all", Aliases: []string{"volumes"},
		Short: "Give volumes of the storage cluster to the namespaces that have them",
		Long: "Gives volumes and snapshots of the storage cluster to the tenant of the namespace that has them: those that\n" +
			"nobody owns, and those of a shared subject or of a namespace's former life (--from-subject). Access for the\n" +
			"tenant is added first, then what refers to the volume is adopted, then the owner is changed, and last all\n" +
			"former access is removed. It may be in use: nothing is unmounted.",
		Example: "  kubectl bulkhead adopt volume --from-subject kubernetes1admin@example --storage-token-file admin.token --dry-run\n" +
			"  kubectl bulkhead adopt volume --all --storage-token-file admin.token --audit-file adopted.jsonl\n" +
			"  kubectl bulkhead adopt undo adopted.jsonl --storage-token-file admin.token",
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.with(cmd, func(a *adopt.Adopter, s *adopt.Storage) error {
				if s == nil {
					return errNoStorageToken
				}
				return a.Ownerships(cmd.Context(), *s, adopt.Ownership{
					Selection:    adopt.Selection{Names: args, All: o.all, Namespace: o.connection.namespace()},
					FromSubjects: from,
				})
			})
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.all, "all", false, "every volume that this cluster refers to and nobody owns, or that everybody may use besides its tenant")
	f.StringArrayVar(&from, "from-subject", nil, "owner whose volumes are taken over (repeatable)")
	o.storageFlags(f)
	return cmd
}

func (o *adoptOptions) finish() *cobra.Command {
	return &cobra.Command{
		Use: "finish", Short: "Finish what a run that was killed has begun", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.with(cmd, func(*adopt.Adopter, *adopt.Storage) error { return nil }) // each run begins with that
		},
	}
}

func (o *adoptOptions) undo() *cobra.Command {
	cmd := &cobra.Command{
		Use: "undo AUDIT-FILE", Short: "Undo the changes of an audit file, the last first", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			entries, err := adopt.ReadLog(args[0])
			if err != nil {
				return err
			}
			return o.with(cmd, func(a *adopt.Adopter, s *adopt.Storage) error { return a.Undo(cmd.Context(), s, entries) })
		},
	}
	o.storageFlags(cmd.Flags())
	return cmd
}

func (o *adoptOptions) storageFlags(f *pflag.FlagSet) { o.admin.flags(f) }

// with prepares what a subcommand needs, and finishes what another run has begun.
func (o *adoptOptions) with(cmd *cobra.Command, run func(*adopt.Adopter, *adopt.Storage) error) (err error) {
	ctx := cmd.Context()
	config, err := o.connection.config()
	if err != nil {
		return err
	}
	installed, err := o.connection.installation(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, installed.Close()) }()
	secrets, err := metadata.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	cluster, err := installed.Cluster(ctx, secrets)
	if err != nil {
		return err
	}
	asked, err := o.admin.open(installed, cmd.Flags())
	if err != nil {
		return err
	}
	var storage *adopt.Storage
	if asked != nil {
		storage = &adopt.Storage{Client: asked.Client, Token: asked.Token}
	}
	cfg := adopt.Config{
		Kubernetes: config, Installation: installed, Cluster: cluster, Out: cmd.OutOrStdout(), DryRun: o.dryRun, Workers: o.workers,
		Confirm: func(question string) (bool, error) {
			if o.yes {
				return true, nil
			}
			return ask(ctx, cmd.InOrStdin(), cmd.OutOrStdout(), question)
		},
	}
	if !o.dryRun {
		path := o.auditFile
		if path == "" {
			path = "bulkhead-adopt-" + time.Now().UTC().Format("20060102T150405Z") + ".jsonl"
		}
		cfg.Log = adopt.OpenLog(path, cluster)
		defer func() {
			if path := cfg.Log.Path(); path != "" {
				fmt.Fprintf(cmd.ErrOrStderr(), "What was changed is in %s: kubectl bulkhead adopt undo %s\n", path, path)
			}
			err = errors.Join(err, cfg.Log.Close())
		}()
	}
	a, err := adopt.New(cfg)
	if err != nil {
		return err
	}
	if err := a.Finish(ctx); err != nil {
		return err
	}
	return run(a, storage)
}

// ask asks a person. Where nobody answers the answer is no.
func ask(ctx context.Context, in io.Reader, out io.Writer, question string) (bool, error) {
	fmt.Fprintf(out, "%s [y/N] ", question)
	type reply struct {
		text string
		err  error
	}
	replies := make(chan reply, 1)
	go func() {
		text, err := bufio.NewReader(in).ReadString('\n')
		replies <- reply{text, err}
	}()
	select {
	case <-ctx.Done(): // a read cannot be stopped
		fmt.Fprintln(out)
		return false, nil
	case r := <-replies:
		if r.err != nil && !errors.Is(r.err, io.EOF) {
			return false, fmt.Errorf("read the answer: %w", r.err)
		}
		answer := strings.ToLower(strings.TrimSpace(r.text))
		return answer == "y" || answer == "yes", nil
	}
}
