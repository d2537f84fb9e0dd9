// Package creation times the creation of claims by API servers with different
// things at admission: each has a control plane of its own, all of them alike.
package creation

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/actors"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// Kind is a way to guard claims: to point those of one class to their token, and
// to refuse what the tables of tenancy forbid.
type Kind struct {
	// Name says what is at admission.
	Name string

	// cluster is the name of the control plane, a DNS label.
	cluster string
	// start starts the control plane with what guards claims in it.
	start func(ctx context.Context, s *Stage, cluster string) (*cluster.Compute, error)
	// guards is whether anything is injected and refused at all.
	guards bool
	// badRequests is whether its denials have the code of a bad request.
	badRequests bool
	// asked is the process that the API server asks, empty if there is none.
	asked string
	// settled, which may be nil, returns nil once what is at admission has heard of
	// the class.
	settled func(context.Context, *Contender) error
}

// Nothing is at admission.
var Nothing = Kind{
	Name: "nothing", cluster: "nothing",
	start: func(ctx context.Context, s *Stage, name string) (*cluster.Compute, error) {
		return s.env.StartControlPlane(ctx, name)
	},
}

// Contender is a control plane with something at admission.
type Contender struct {
	Kind
	// Processes are those that work on the creation of a claim: etcd, the API
	// server and whom it asks.
	Processes []*cluster.Process

	team    *actors.Team
	clients []corev1client.PersistentVolumeClaimInterface
	made    atomic.Int64
}

const (
	// namespace is the one that claims are made in.
	namespace = "ledger"
	// sourceName is a claim in it, to clone.
	sourceName = "source"
	// otherClass is one of another driver.
	otherClass = "other"
	// patience is how long an API server may take to hear of what is in force.
	patience = time.Minute
)

// layout is where each Kind says that tokens lie: the chart's defaults.
var layout = tenancy.Layout{Placement: tenancy.Central, TokenNamespace: "bulkhead-tokens", Template: "bulkhead-" + tenancy.Placeholder}

// Start starts a control plane of that kind, with classes, a namespace and a claim
// to clone, and proves that it does what the kind should. What has no part in the
// creation of a claim is ended, or it would use the processor meanwhile.
func (s *Stage) Start(ctx context.Context, kind Kind) (*Contender, error) {
	compute, err := kind.start(ctx, s, kind.cluster)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind.Name, err)
	}
	admin, err := actors.NewClusterAdmin(ctx, compute)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind.Name, err)
	}
	_, ours := admin.MakeClass(ctx, actors.CSIClass, tenancy.CSIDriver)
	_, others := admin.MakeClass(ctx, otherClass, "ebs.csi.aws.com")
	team, err := admin.NewTeam(ctx, namespace)
	if err := errors.Join(ours, others, err); err != nil {
		return nil, fmt.Errorf("%s: %w", kind.Name, err)
	}
	c := &Contender{Kind: kind, team: team}
	if err := c.makeSource(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", kind.Name, err)
	}
	c.endOthers()
	err = cluster.Poll(ctx, patience, func(ctx context.Context) error {
		if err := c.prove(ctx); err != nil || kind.settled == nil {
			return err
		}
		return kind.settled(ctx, c)
	})
	if err != nil {
		return nil, fmt.Errorf("%s does not do what is compared: %w", kind.Name, err)
	}
	c.Processes = []*cluster.Process{compute.Process("etcd"), compute.Process("apiserver")}
	if kind.asked != "" {
		c.Processes = append(c.Processes, s.env.Process(kind.asked))
	}
	return c, nil
}

// makeSource makes the claim to clone. Who looks where a claim's data comes from is
// to find a volume there.
func (c *Contender) makeSource(ctx context.Context) error {
	source := c.team.Claim(sourceName, actors.CSIClass)
	if c.team.Admin.Compute.CSISocket == "" {
		return c.team.Create(ctx, source)
	}
	_, err := c.team.MakeBound(ctx, source)
	return err
}

func (c *Contender) endOthers() {
	compute := c.team.Admin.Compute
	for _, component := range []string{"controller-manager", "csi-provisioner", "csi-resizer", "csi-snapshotter", "snapshot-controller", "csinode"} {
		if p := compute.Process(component); p != nil {
			p.Stop()
		}
	}
	for _, p := range compute.Sidecars {
		p.Stop()
	}
}

// client is the admin's of that number, with a connection of its own as programs
// have that run apart.
func (c *Contender) client(number int) (corev1client.PersistentVolumeClaimInterface, error) {
	for len(c.clients) <= number {
		config := c.team.Admin.Compute.RESTConfig()
		config.QPS, config.Burst = -1, -1
		// Transports with a dialler are not shared.
		config.Dial = (&net.Dialer{}).DialContext
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return nil, fmt.Errorf("client of %s: %w", c.Name, err)
		}
		c.clients = append(c.clients, client.CoreV1().PersistentVolumeClaims(namespace))
	}
	return c.clients[number], nil
}
