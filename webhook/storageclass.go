package webhook

import (
	"context"

	storagev1 "k8s.io/api/storage/v1"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// storageClasses of our drivers get the parameters that make every CSI call
// carry the token of the claim's namespace.
var storageClasses = resource[storagev1.StorageClass, *review[storagev1.StorageClass]]{
	prepare: asIs[storagev1.StorageClass],
	inject:  injectStorageClass,
	rules:   []rule[*review[storagev1.StorageClass]]{ruleC6, ruleC7Class},
}

func injectStorageClass(_ context.Context, l *lookup, r *review[storagev1.StorageClass]) (patch, error) {
	pairs := l.layout.ClassParameters(l.drivers, r.object.Provisioner)
	entries := absentPairs(r.object.Parameters, pairs)
	if r.old != nil {
		// Parameters are immutable: what an update leaves out is carried over
		// from the old object, so that applying the original manifest again
		// changes nothing. An old class that lacks them keeps lacking them.
		entries = carriedOver(r.old.Parameters, r.object.Parameters, pairs)
	}
	var p patch
	p.setEntries("/parameters", r.object.Parameters, entries)
	return p, nil
}

// carriedOver are the entries of the pairs' keys that old has and current lacks.
func carriedOver(old, current map[string]string, pairs []tenancy.Pair) map[string]string {
	entries := map[string]string{}
	for _, key := range keysOf(pairs) {
		value, had := old[key]
		if _, has := current[key]; had && !has {
			entries[key] = value
		}
	}
	return entries
}
