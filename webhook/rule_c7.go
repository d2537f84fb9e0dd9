package webhook

import (
	"context"
	"slices"

	storagev1 "k8s.io/api/storage/v1"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// ruleC7: a class does not reach the storage cluster under a name at which
// nobody looks: a name of the driver that Bulkhead was not told of, or one that
// the API server still takes for another driver's class.
var ruleC7 = rule[*review[storagev1.StorageClass]]{id: "BH-C7", check: func(ctx context.Context, l *lookup, r *review[storagev1.StorageClass]) ([]Denial, error) {
	name := r.object.Provisioner
	if r.old != nil {
		return nil, nil // the provisioner is immutable
	}
	if !l.drivers.Owns(name) {
		if !slices.Contains(tenancy.KnownNames(), name) {
			return nil, nil
		}
		return []Denial{{
			Field:   "provisioner",
			Message: "this is a name of the storage driver under which it is not guarded",
			Mend:    "use a name that is, or ask the cluster admin to add this one to Bulkhead's drivers",
		}}, nil
	}
	// Classes are few and rarely made, so this may ask the API server.
	listed, err := l.listed(ctx, r.object.Name)
	if err != nil || !listed {
		return nil, err
	}
	return []Denial{{
		Field:   "metadata.name",
		Message: "until a moment ago this was a class of another driver, and its claims are not guarded yet",
		Mend:    "try again in a few seconds, or use another name",
	}}, nil
}}
