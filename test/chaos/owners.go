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
	of map[string]string
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
	}
	for _, v := range volumes {
		if parent, known := o.of[v.Parent]; known && parent != v.Owner {
			o.crossed.broken("volume %s of %s was made from volume %s of %s", v.Name, v.Owner, v.Parent, parent)
		}
	}
	o.crossed.held(1)
	return volumes, nil
}

func (o *owners) judge(v actors.Volume) {
	before, seen := o.of[v.ID]
	o.of[v.ID] = v.Owner
	switch {
	case seen && before != v.Owner:
		o.owned.broken("volume %s was %s's and is %s's", v.Name, before, v.Owner)
	case !o.tenants.is(v.Owner, v.Namespace):
		o.owned.broken("volume %s of claim %s/%s belongs to %q", v.Name, v.Namespace, v.Claim, v.Owner)
	default:
		o.owned.held(1)
	}
}
