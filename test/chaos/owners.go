package main

import (
	"context"
	"time"

	"github.com/bulkhead-dev/bulkhead/test/actors"
)

// ownersInterval is how often the storage cluster's record is looked at.
const ownersInterval = 2 * time.Second

// owners watches the storage cluster's own record of its volumes.
type owners struct {
	storage *actors.StorageAdmin
	tenants *tenants

	owned, crossed *check
	// of is the owner of each volume that was ever seen: a volume may have gone
	// whose clone is there.
	of      map[string]string
	doubles *doubles
}

// watch looks until ctx ends. A storage cluster that does not answer is asked again.
func (o *owners) watch(ctx context.Context) {
	ticker := time.NewTicker(ownersInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			_, _ = o.look(ctx)
		}
	}
}

// look judges all volumes that there are, and returns them.
func (o *owners) look(ctx context.Context) ([]actors.Volume, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	volumes, err := o.storage.Volumes(ctx)
	if err != nil {
		return nil, err
	}
	for _, v := range volumes {
		o.judge(v)
		o.doubles.see(v)
	}
	o.compare(volumes)
	return volumes, nil
}

// compare looks for volumes that were made from another tenant's.
func (o *owners) compare(volumes []actors.Volume) {
	for _, v := range volumes {
		if parent, known := o.of[v.Parent]; known && parent != v.Owner {
			o.crossed.broken("volume %s of %s was made from volume %s of %s", v.Name, v.Owner, v.Parent, parent)
		}
	}
	o.crossed.held()
}

// judge compares the owner of a volume with the claim that it was recorded for. A
// snapshot is recorded for none: it belongs to whom its volume belonged to.
func (o *owners) judge(v actors.Volume) {
	before, seen := o.of[v.ID]
	parent, known := o.of[v.Parent]
	o.of[v.ID] = v.Owner
	switch {
	case seen && before != v.Owner:
		o.owned.broken("volume %s was %s's and is %s's", v.Name, before, v.Owner)
	case v.Namespace == "" && known && v.Owner == parent:
		o.owned.held()
	case !o.tenants.is(v.Owner, v.Namespace):
		o.owned.broken("volume %s of claim %s/%s belongs to %q", v.Name, v.Namespace, v.Claim, v.Owner)
	default:
		o.owned.held()
	}
}
