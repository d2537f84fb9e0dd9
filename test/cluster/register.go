package cluster

import (
	"context"
	"fmt"
	"os"
	"time"

	"sigs.k8s.io/yaml"
)

// clustersMetric is the issuer's count of compute clusters in the policy in
// force.
const clustersMetric = "bulkhead_issuer_clusters"

// Register does what a cluster admin and the storage admin do together once:
// the entry that `kubectl bulkhead register` prints goes into the issuer's
// policy. It returns the entry when the issuer has it in force.
func (e *Environment) Register(ctx context.Context, c *Compute) (entry string, err error) {
	out, err := e.Registration(ctx, c)
	if err != nil {
		return "", err
	}
	began := time.Now()
	e.policing.Lock()
	defer e.policing.Unlock()
	policy, err := os.ReadFile(e.Storage.PolicyFile)
	if err != nil {
		return "", fmt.Errorf("register %s: %w", c.Name, err)
	}
	policy, clusters, err := addClusters(policy, out)
	if err != nil {
		return "", fmt.Errorf("register %s: %w", c.Name, err)
	}
	if err := replaceFile(e.Storage.PolicyFile, policy); err != nil {
		return "", fmt.Errorf("register %s: %w", c.Name, err)
	}
	err = Poll(ctx, readyTimeout, func(ctx context.Context) error {
		value, err := e.Storage.Issuer.Metric(ctx, clustersMetric)
		if err == nil && int(value) != clusters {
			err = fmt.Errorf("it has %v clusters, its policy file %d", value, clusters)
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("register %s: wait for the issuer: %w", c.Name, err)
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

// addClusters appends the entries, a YAML list, to the `clusters` of a policy,
// and returns the policy and how many clusters it has now.
func addClusters(policy, entries []byte) (changed []byte, clusters int, err error) {
	var document map[string]any
	if err := yaml.Unmarshal(policy, &document); err != nil {
		return nil, 0, fmt.Errorf("read the policy: %w", err)
	}
	var more []any
	if err := yaml.Unmarshal(entries, &more); err != nil {
		return nil, 0, fmt.Errorf("read the new entries: %w", err)
	}
	if len(more) == 0 {
		return nil, 0, fmt.Errorf("no entries in %.80q", entries)
	}
	var all []any
	switch present := document["clusters"].(type) {
	case nil:
	case []any:
		all = present
	default:
		return nil, 0, fmt.Errorf("the policy's clusters are not a list but %T", present)
	}
	all = append(all, more...)
	document["clusters"] = all
	if changed, err = yaml.Marshal(document); err != nil {
		return nil, 0, fmt.Errorf("write the policy: %w", err)
	}
	return changed, len(all), nil
}
