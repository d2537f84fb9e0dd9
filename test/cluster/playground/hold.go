package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// runHold holds a playground until ctx ends or a component fails. Until it is
// ready it ends with its parent, which is `up`.
func runHold(ctx context.Context, cfg config, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	starting, started := context.WithCancel(ctx)
	defer started()
	cluster.StopWithParent(starting, cancel)

	if err := os.WriteFile(cfg.pidFile(), []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600); err != nil {
		return fmt.Errorf("say which process this is: %w", err)
	}
	// What stays would tell of a playground that is gone.
	defer func() {
		for _, file := range []string{cfg.readyFile(), cfg.envFile(), cfg.pidFile()} {
			_ = os.Remove(file)
		}
	}()
	binaries, err := cluster.Build(ctx, out)
	if err != nil {
		return err
	}
	env, err := cluster.New(cluster.Config{Dir: cfg.dir, Binaries: binaries, TokenLife: cfg.tokenLife, Out: out})
	if err != nil {
		return err
	}
	defer env.Stop()
	failure := make(chan error, 1)
	go func() {
		select {
		case err := <-env.Failed():
			failure <- err
			cancel()
		case <-ctx.Done():
		}
	}()
	computes, err := start(ctx, cfg, env)
	if err == nil {
		err = announce(out, cfg, env, computes, started)
	}
	if err == nil {
		<-ctx.Done()
	}
	select {
	case failed := <-failure:
		return failed // it explains the other error, if there is one
	default:
		return err
	}
}

// announce tells the user, other programs and `up` that the playground is ready.
func announce(out io.Writer, cfg config, env *cluster.Environment, computes []*cluster.Compute, started func()) error {
	if err := os.WriteFile(cfg.envFile(), envFile(env, computes), 0o600); err != nil {
		return fmt.Errorf("write the environment file: %w", err)
	}
	describe(out, cfg, env, computes)
	// In this order: `up` goes when it sees the file, and must not take us along.
	started()
	if err := os.WriteFile(cfg.readyFile(), nil, 0o600); err != nil {
		return fmt.Errorf("say that it is ready: %w", err)
	}
	return nil
}

// start takes an environment through all its steps.
func start(ctx context.Context, cfg config, env *cluster.Environment) ([]*cluster.Compute, error) {
	if err := env.StartStorage(ctx); err != nil {
		return nil, err
	}
	if _, err := env.SetUpStorage(ctx); err != nil {
		return nil, err
	}
	var computes []*cluster.Compute
	for _, name := range cfg.clusters {
		c, err := env.StartCompute(ctx, name)
		if err != nil {
			return nil, err
		}
		if _, err := env.Register(ctx, c); err != nil {
			return nil, err
		}
		if err := env.Install(ctx, c); err != nil {
			return nil, err
		}
		computes = append(computes, c)
	}
	if len(computes) == 0 {
		return nil, errors.New("no compute clusters: name some with --clusters")
	}
	return computes, nil
}

func describe(out io.Writer, cfg config, env *cluster.Environment, computes []*cluster.Compute) {
	fmt.Fprintln(out)
	for _, c := range computes {
		fmt.Fprintf(out, "compute cluster %-8s KUBECONFIG=%s\n", c.Name, c.Kubeconfig)
	}
	fmt.Fprintf(out, "storage cluster %-8s SDK %s, issuer %s\n", env.Storage.ID, env.Storage.SDKAddress, env.Storage.IssuerURL)
	fmt.Fprintf(out, "logs in %s; `. %s` sets variables for all of these; `make down` ends it\n", env.Logs(), cfg.envFile())
}
