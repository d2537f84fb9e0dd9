package webhook

import (
	"context"
	"slices"

	storagev1 "k8s.io/api/storage/v1"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// ruleC7: a class does not reach the storage cluster under a name of the driver
// that Bulkhead was not told of: nothing made through it would be guarded.
var ruleC7 = rule[*review[storagev1.StorageClass]]{id: "BH-C7", check: func(_ context.Context, l *lookup, r *review[storagev1.StorageClass]) ([]Denial, error) {
	name := r.object.Provisioner
	if r.old != nil || l.drivers.Owns(name) || !slices.Contains(tenancy.KnownNames(), name) {
		return nil, nil // the provisioner is immutable
	}
	return []Denial{{
		Field:   "provisioner",
		Message: "this is a name of the storage driver under which it is not guarded",
		Mend:    "use a name that is, or ask the cluster admin to add this one to Bulkhead's drivers",
	}}, nil
}}
