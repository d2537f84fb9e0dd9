// Command chaos runs real clusters under load while faults come at random, from a
// seed, and checks all along, from the storage cluster's own record, what must hold
// whatever happens.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
	"github.com/bulkhead-dev/bulkhead/test/measured"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	var err error
	if len(os.Args) > 2 && os.Args[1] == componentCommand {
		err = runComponent(ctx, os.Args[2], os.Args[3:])
	} else {
		ctrllog.SetLogger(logr.Discard())
		cluster.StopWithParent(ctx, cancel)
		err = chaos(ctx, os.Args[1:])
	}
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

// options say what a run is like.
type options struct {
	seed       uint64
	length     time.Duration
	namespaces int
	faults     string
	// dir is the run folder, document what is written to, if anything, and commit
	// what runs, for that.
	dir, document, commit string
}

// again is the command that runs the same schedule once more.
func (o options) again() string {
	command := fmt.Sprintf("make chaos CHAOS='--seed %d --for %v --namespaces %d", o.seed, o.length, o.namespaces)
	if o.faults != "" {
		command += " --faults " + o.faults
	}
	return command + "'"
}

var errBroken = errors.New("something does not hold: see above")

func chaos(ctx context.Context, args []string) error {
	var o options
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.Uint64Var(&o.seed, "seed", 0, "what the schedule is drawn from; random if zero")
	flags.DurationVar(&o.length, "for", 10*time.Minute, "how long faults come")                        //nolint:mnd // the default says what it is
	flags.IntVar(&o.namespaces, "namespaces", 50, "namespaces with a load, over all compute clusters") //nolint:mnd // the default says what it is
	flags.StringVar(&o.faults, "faults", "", "kinds of faults, with commas between: "+strings.Join(kindNames(), ",")+"; all of them if empty")
	flags.StringVar(&o.dir, "dir", "", "run folder for logs and sockets; a new temporary one if empty")
	flags.StringVar(&o.document, "write", "", "document that gets a row for this run; none if empty")
	only := flags.Bool("schedule", false, "print the schedule and run nothing")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("flags: %w", err)
	}
	if o.seed == 0 {
		// Half of what there is, so that it is easily copied.
		o.seed = uint64(rand.Uint32())
	}
	if o.namespaces < len(clusterNames) {
		return fmt.Errorf("--namespaces=%d: want at least %d", o.namespaces, len(clusterNames))
	}
	lanes, err := lanesOf(clusterNames, o.faults)
	if err != nil {
		return fmt.Errorf("--faults: %w", err)
	}
	fmt.Printf("chaos: seed %d; the same again: %s\n", o.seed, o.again())
	faults := schedule(o.seed, o.length, lanes)
	if *only {
		for _, f := range faults {
			fmt.Println(f)
		}
		return nil
	}
	if o.document != "" {
		if o.commit, err = measured.Commit(ctx, "."); err != nil {
			return err
		}
	}
	r := newRun(o, faults)
	if err := r.play(ctx); err != nil {
		return err
	}
	if failed := r.report(os.Stdout); failed > 0 {
		return errBroken
	}
	if o.document == "" {
		return nil
	}
	return r.write()
}
