package main

import (
	"context"
	"fmt"

	"github.com/kubernetes-csi/csi-lib-utils/standardflags"
	"github.com/spf13/pflag"
	"k8s.io/component-base/logs"
	logsapi "k8s.io/component-base/logs/api/v1"

	"github.com/bulkhead-dev/bulkhead/issuer"
	"github.com/bulkhead-dev/bulkhead/sidecar"
)

// componentCommand is the first argument by which this program takes the part of
// one of the product's, so that its clock can be shifted: the shipped binaries take
// the machine's, and no library shifts the clock of a Go program.
const componentCommand = "component"

// runComponent runs a component with the arguments of the shipped binary, until ctx
// ends.
func runComponent(ctx context.Context, name string, args []string) error {
	flags := pflag.NewFlagSet(name, pflag.ContinueOnError)
	file := flags.String("clock-file", "", "file that says how far the clock is off")
	logging := logsapi.NewLoggingConfiguration()
	logsapi.AddFlags(logging, flags)
	defer logs.FlushLogs()
	var c clock
	var run func() error
	switch name {
	case "issuer":
		cfg := issuer.Config{Now: c.now}
		cfg.Flags(flags)
		run = func() error { return issuer.Run(ctx, cfg) }
	case "sidecar":
		cfg := sidecar.Config{Now: c.now}
		cfg.Flags(flags)
		run = func() error {
			cfg.Standard = standardflags.Configuration
			return sidecar.Run(ctx, cfg)
		}
	default:
		return fmt.Errorf("no component %q can be run", name)
	}
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("flags: %w", err)
	}
	if err := logsapi.ValidateAndApply(logging, nil); err != nil {
		return fmt.Errorf("logging flags: %w", err)
	}
	go c.follow(ctx, *file)
	return run()
}
