// Package command is what the mains of the server binaries have in common:
// logging flags, signals and how an error ends the process.
package command

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/component-base/logs"
	logsapi "k8s.io/component-base/logs/api/v1"
	_ "k8s.io/component-base/logs/json/register" // --logging-format=json
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

// Main runs the command until it ends or SIGINT or SIGTERM comes, and exits
// with 1 on an error. A second signal ends the process at once.
func Main(root *cobra.Command) {
	if err := run(root); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", root.Name(), err)
		os.Exit(1)
	}
}

// maxVerbosity is the highest at which client-go logs no bodies of requests and
// answers: those of Secrets hold tokens and keys (client-go rest/request.go
// logs bodies from 8 on).
const maxVerbosity = 7

func capVerbosity(logging *logsapi.LoggingConfiguration) error {
	if logging.Verbosity > maxVerbosity {
		return fmt.Errorf("--v=%d would log the tokens in Secrets: want at most %d", logging.Verbosity, maxVerbosity)
	}
	for _, file := range logging.VModule {
		if file.Verbosity > maxVerbosity {
			return fmt.Errorf("--vmodule=%s=%d would log the tokens in Secrets: want at most %d", file.FilePattern, file.Verbosity, maxVerbosity)
		}
	}
	return nil
}

func run(root *cobra.Command) error {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	context.AfterFunc(ctx, cancel) // gives the second signal its default effect

	logging := logsapi.NewLoggingConfiguration()
	logsapi.AddFlags(logging, root.PersistentFlags())
	defer logs.FlushLogs()
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := capVerbosity(logging); err != nil {
			return err
		}
		if err := logsapi.ValidateAndApply(logging, nil); err != nil {
			return fmt.Errorf("logging flags: %w", err)
		}
		ctrl.SetLogger(klog.Background())
		cmd.SetContext(klog.NewContext(cmd.Context(), klog.Background().WithName(root.Name())))
		return nil
	}
	root.Version = Version() // what --version shows
	root.SilenceUsage = true
	root.SilenceErrors = true
	return root.ExecuteContext(ctx) //nolint:wrapcheck // the commands' own errors
}

// version is set by the linker: see hack/build.
var version string

// Version is that of the release this binary belongs to or, where the linker was
// not told, of the module it was built from, with the commit where the build
// knows it.
func Version() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			return info.Main.Version + " " + setting.Value
		}
	}
	return info.Main.Version
}
