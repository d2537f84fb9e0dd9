// Command kubectl-bulkhead is the kubectl plugin of cluster admins.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/cmd/internal/command"
	"github.com/bulkhead-dev/bulkhead/plugin/output"
)

// Exit codes, besides 0.
const (
	// exitFindings: it worked, and found what should be mended.
	exitFindings = 1
	// exitError: it did not work.
	exitError = 2
)

// errFindings ends a command whose findings have been printed.
var errFindings = errors.New("there is something to mend")

// errIncomplete ends a command that printed what it could, and could not look at
// everything: nobody should take that for a good sign.
var errIncomplete = errors.New("not everything could be looked at")

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, cancel) // gives the second signal its default effect
	os.Exit(run(ctx, argsOf(os.Args)))
}

// completer is the name under which kubectl asks a plugin to complete what is typed
// (k8s.io/kubectl pkg/cmd/plugin, SetupPluginCompletion): a link to this program.
const completer = "kubectl_complete-bulkhead"

// argsOf are the arguments of the command, by the name that the program was called.
func argsOf(called []string) []string {
	if filepath.Base(called[0]) == completer {
		return append([]string{cobra.ShellCompRequestCmd}, called[1:]...)
	}
	return called[1:]
}

func run(ctx context.Context, args []string) int {
	root := newRoot() //nolint:contextcheck // each command has the context of its execution
	root.SetArgs(args)
	switch err := root.ExecuteContext(ctx); {
	case errors.Is(err, errFindings):
		return exitFindings
	case err != nil:
		fmt.Fprintln(os.Stderr, "kubectl bulkhead:", output.Plain(err.Error()))
		return exitError
	}
	return 0
}

func newRoot() *cobra.Command {
	c := newConnection()
	root := &cobra.Command{
		Use:   "kubectl-bulkhead",
		Short: "Look after Bulkhead in this cluster",
		Long: "Look after Bulkhead in this cluster.\n\n" +
			"Exit codes: 0 all is well, 1 something was found that should be mended, 2 the command did not work.",
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl bulkhead"},
		Version:       command.Version(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	c.flags(root.PersistentFlags())
	root.RunE = subcommandsOnly
	root.AddCommand(adoptCommand(c), auditCommand(c), preflightCommand(c), registerCommand(c), statusCommand(c), tokenCommand(c))
	return root
}

// subcommandsOnly is for a command that does nothing by itself: cobra would show
// its help for a subcommand that is not there, and call that a success.
func subcommandsOnly(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s has no subcommand %q", cmd.CommandPath(), args[0])
	}
	return cmd.Help() //nolint:wrapcheck // there is nothing to add
}
