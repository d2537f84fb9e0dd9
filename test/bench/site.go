package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// onSite measures on real clusters: a storage cluster that is set up runs already,
// and all that measure starts ends with it.
func onSite(ctx context.Context, s *session, measure func(context.Context, *cluster.Environment) ([]row, error)) ([]row, error) {
	binaries, err := cluster.Build(ctx, s.progress)
	if err != nil {
		return nil, err
	}
	return onSiteOf(ctx, s, binaries, measure)
}

// onSiteOf is onSite with those binaries.
func onSiteOf(ctx context.Context, s *session, binaries *cluster.Binaries, measure func(context.Context, *cluster.Environment) ([]row, error)) (rows []row, err error) {
	env, err := cluster.New(cluster.Config{Binaries: binaries, Out: s.progress})
	if err != nil {
		return nil, err
	}
	defer func() {
		env.Stop()
		if err != nil {
			err = fmt.Errorf("%w; the logs are in %s", err, env.Logs())
			return
		}
		err = os.RemoveAll(env.Dir)
	}()
	// What has lost a component measures something else.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case err := <-env.Failed():
			cancel(err)
		case <-ctx.Done():
		}
	}()
	if err := env.StartStorage(ctx); err != nil {
		return nil, err
	}
	if _, err := env.SetUpStorage(ctx); err != nil {
		return nil, err
	}
	if rows, err = measure(ctx, env); err != nil {
		return nil, errors.Join(err, context.Cause(ctx))
	}
	return rows, nil
}

// setPolicy sets fields of the issuer's policy.
func setPolicy(ctx context.Context, env *cluster.Environment, fields map[string]any) error {
	return env.ChangePolicy(ctx, func(policy []byte) ([]byte, error) {
		var document map[string]any
		if err := yaml.Unmarshal(policy, &document); err != nil {
			return nil, fmt.Errorf("read it: %w", err)
		}
		for name, value := range fields {
			document[name] = value
		}
		return yaml.Marshal(document)
	})
}

// unlimited is a policy's rate limit that nobody here reaches.
func unlimited() map[string]any {
	const most = 1_000_000
	return map[string]any{"rateLimit": map[string]any{"perSecond": most, "burst": most}}
}
