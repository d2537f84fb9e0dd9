package creation

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/test/actors"
)

// Claim is what is created.
type Claim int

const (
	// Plain is a claim with a label, as most have one.
	Plain Claim = iota
	// Clone takes its data from a claim of its namespace.
	Clone
)

func (k Claim) String() string {
	if k == Clone {
		return "clone"
	}
	return "plain claim"
}

// object is the claim as its team writes it.
func (k Claim) object(c *Contender, name string) *corev1.PersistentVolumeClaim {
	claim := c.team.Claim(name, actors.CSIClass)
	claim.Labels = map[string]string{"app.kubernetes.io/name": "ledger"}
	if k == Clone {
		claim.Spec.DataSource = &corev1.TypedLocalObjectReference{Kind: "PersistentVolumeClaim", Name: sourceName}
	}
	return claim
}

// Sample is what a number of creations took.
type Sample struct {
	// Each is from the call of the client's library to its return.
	Each []time.Duration
	// All is from the first call to the last return.
	All time.Duration
}

// Create has so many clients create claims, number in all. It fails unless each
// claim comes back pointed to its token, or not, as the kind should do it.
func (c *Contender) Create(ctx context.Context, what Claim, clients, number int) (Sample, error) {
	if _, err := c.client(clients - 1); err != nil {
		return Sample{}, err
	}
	sample := Sample{Each: make([]time.Duration, number)}
	var next atomic.Int64
	began := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for _, client := range c.clients[:clients] {
		group.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= number {
					return nil
				}
				claim := what.object(c, fmt.Sprintf("claim-%d", c.made.Add(1)))
				start := time.Now()
				created, err := client.Create(ctx, claim, metav1.CreateOptions{})
				sample.Each[i] = time.Since(start)
				if err != nil {
					return fmt.Errorf("%s: create %s: %w", c.Name, claim.Name, err)
				}
				if err := c.injected(created); err != nil {
					return err
				}
			}
		})
	}
	err := group.Wait()
	sample.All = time.Since(began)
	return sample, err
}

// injected fails unless the claim has the annotations that the kind gives it.
func (c *Contender) injected(claim *corev1.PersistentVolumeClaim) error {
	for _, pair := range layout.ClaimAnnotations(namespace) {
		for key, want := range pair.Values() {
			have := claim.Annotations[key]
			if (c.guards && have != want) || (!c.guards && have != "") {
				return fmt.Errorf("%s: %s has %s=%q", c.Name, claim.Name, key, have)
			}
		}
	}
	return nil
}
