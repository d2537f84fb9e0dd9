package cluster

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/yaml"
)

// Register does what a cluster admin and the storage admin do together once:
// the entry that `kubectl bulkhead register` prints goes into the issuer's
// policy. It returns the entry when the issuer has it in force.
func (e *Environment) Register(ctx context.Context, c *Compute) (entry string, err error) {
	out, err := e.Registration(ctx, c)
	if err != nil {
		return "", err
	}
	began := time.Now()
	if err := e.ChangePolicy(ctx, func(policy []byte) ([]byte, error) { return addClusters(policy, out) }); err != nil {
		return "", fmt.Errorf("register %s: %w", c.Name, err)
	}
	e.started(c.Name+": registered at the issuer", began)
	return string(out), nil
}

// Registration is the entry that `kubectl bulkhead register` prints for a cluster,
// for an issuer that is yet to be started.
func (e *Environment) Registration(ctx context.Context, c *Compute) (entry []byte, err error) {
	out, err := e.supervisor.run(ctx, e.cfg.Binaries.KubectlBulkhead, "register", c.Name, "--kubeconfig", c.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("register %s: %w", c.Name, err)
	}
	return out, nil
}

// addClusters appends the entries, a YAML list, to the `clusters` of a policy.
func addClusters(policy, entries []byte) (changed []byte, err error) {
	var document map[string]any
	if err := yaml.Unmarshal(policy, &document); err != nil {
		return nil, fmt.Errorf("read the policy: %w", err)
	}
	var more []any
	if err := yaml.Unmarshal(entries, &more); err != nil {
		return nil, fmt.Errorf("read the new entries: %w", err)
	}
	if len(more) == 0 {
		return nil, fmt.Errorf("no entries in %.80q", entries)
	}
	var all []any
	switch present := document["clusters"].(type) {
	case nil:
	case []any:
		all = present
	default:
		return nil, fmt.Errorf("the policy's clusters are not a list but %T", present)
	}
	all = append(all, more...)
	document["clusters"] = all
	if changed, err = yaml.Marshal(document); err != nil {
		return nil, fmt.Errorf("write the policy: %w", err)
	}
	return changed, nil
}
