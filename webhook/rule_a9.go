package webhook

import (
	"context"
	"maps"
	"slices"

	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// ruleA9Class: a VolumeAttributesClass of ours does not change a volume into
// what a claim could not ask for.
var ruleA9Class = rule[*review[storagev1.VolumeAttributesClass]]{id: "BH-A9", check: func(_ context.Context, l *lookup, r *review[storagev1.VolumeAttributesClass]) ([]Denial, error) {
	if r.old != nil || !l.drivers.IsCSI(r.object.DriverName) {
		return nil, nil // its parameters are immutable
	}
	var denials []Denial
	for _, key := range reachingParameters(r.object) {
		denials = append(denials, Denial{
			Field:   "parameters[" + key + "]",
			Message: "this parameter would let every claim change its volume into one that reaches out of the tenant",
			Mend:    "remove it",
		})
	}
	return denials, nil
}}

// ruleA9Claim: nor does a claim use such a class from before the install.
var ruleA9Claim = rule[*claimReview]{id: "BH-A9", check: func(ctx context.Context, l *lookup, r *claimReview) ([]Denial, error) {
	name := valueOf(r.object.Spec.VolumeAttributesClassName)
	if name == "" || (r.old != nil && valueOf(r.old.Spec.VolumeAttributesClassName) == name) {
		return nil, nil
	}
	var class storagev1.VolumeAttributesClass
	found, err := l.get(ctx, types.NamespacedName{Name: name}, &class)
	if err != nil || !found || !l.drivers.IsCSI(class.DriverName) || len(reachingParameters(&class)) == 0 {
		return nil, err
	}
	return []Denial{{
		Field:   "spec.volumeAttributesClassName",
		Message: "this class would change the volume into one that reaches out of the tenant",
		Mend:    "name another class",
	}}, nil
}}

// reachingParameters are those of a class that no claim may have.
func reachingParameters(class *storagev1.VolumeAttributesClass) []string {
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(class.Parameters)) {
		if k := tenancy.Classify(key); k == tenancy.Forbidden || k == tenancy.Managed || tenancy.NamesSecret(key) {
			keys = append(keys, key)
		}
	}
	return keys
}
