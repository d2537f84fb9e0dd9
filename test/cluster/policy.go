package cluster

import (
	"context"
	"fmt"
	"os"
)

// generationMetric is the issuer's count of policies that came into force.
const generationMetric = "bulkhead_issuer_policy_generation"

// ChangePolicy replaces the issuer's policy, in YAML, by what change makes of it,
// which must be another. It returns when the issuer has it in force.
func (e *Environment) ChangePolicy(ctx context.Context, change func(policy []byte) ([]byte, error)) error {
	e.policing.Lock()
	defer e.policing.Unlock()
	policy, err := os.ReadFile(e.Storage.PolicyFile)
	if err != nil {
		return fmt.Errorf("change the policy: %w", err)
	}
	if policy, err = change(policy); err != nil {
		return fmt.Errorf("change the policy: %w", err)
	}
	before, err := e.Storage.Issuer.Metric(ctx, generationMetric)
	if err != nil {
		return fmt.Errorf("change the policy: %w", err)
	}
	if err := replaceFile(e.Storage.PolicyFile, policy); err != nil {
		return fmt.Errorf("change the policy: %w", err)
	}
	err = Poll(ctx, readyTimeout, func(ctx context.Context) error {
		now, err := e.Storage.Issuer.Metric(ctx, generationMetric)
		if err == nil && now == before {
			err = fmt.Errorf("the issuer has still the policy of before, its %vth", before)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("change the policy: wait for the issuer: %w", err)
	}
	return nil
}
