package webhook

import (
	"context"
	"fmt"
	"maps"
	"slices"

	storagev1 "k8s.io/api/storage/v1"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// ruleC6: a class of ours names no Secret but the one of the claim's namespace,
// and no volume, token or owner that all its claims would share.
var ruleC6 = rule[*review[storagev1.StorageClass]]{id: "BH-C6", check: func(_ context.Context, l *lookup, r *review[storagev1.StorageClass]) ([]Denial, error) {
	if !l.drivers.Owns(r.object.Provisioner) || r.old != nil {
		return nil, nil // parameters are immutable
	}
	denials := wrongSecrets(r.object.Parameters, nil, allPairs(l.layout.ClassParameters(l.drivers, r.object.Provisioner)))
	for _, key := range slices.Sorted(maps.Keys(r.object.Parameters)) {
		if tenancy.ForbiddenInClass(key) {
			denials = append(denials, Denial{
				Field:   "parameters[" + key + "]",
				Message: "a class is for all tenants: this parameter makes each of its volumes a copy of one volume, or another's",
				Mend:    "remove it",
			})
		}
	}
	return denials, nil
}}

// wrongSecrets judges the parameters of a class that name Secrets: those that
// must be there by their value, any other by what the token Secret is. old are
// the parameters before an update, nil on creation.
func wrongSecrets(parameters, old, want map[string]string) []Denial {
	wrong := map[string]string{} // key to the value that belongs there
	for key, value := range want {
		if parameters[key] != value {
			wrong[key] = value
		}
	}
	for key := range parameters {
		if _, known := want[key]; !known && tenancy.NamesSecret(key) {
			wrong[key] = ""
		}
	}
	var denials []Denial
	for _, key := range slices.Sorted(maps.Keys(wrong)) {
		was, had := old[key]
		is, has := parameters[key]
		if old != nil && had == has && was == is {
			continue
		}
		message := "a class of this driver uses the token of the claim's or snapshot's own namespace and no other Secret"
		mend := "remove it: the default keys cover every call"
		if value := wrong[key]; value != "" {
			mend = fmt.Sprintf("write %s: %q, or leave out the pair and it is filled in", key, value)
		} else if tenancy.NamesSecretOfACall(key) {
			// An encryption Secret, say: taking it out in silence would leave the
			// volumes unencrypted, leaving it in would leave the call without a token.
			message = "a CSI call takes one Secret, and for this driver that is the token of the claim's or snapshot's own namespace"
			mend = "remove it; a key to encrypt with is named by secret_name or kept by the storage cluster, not by a Secret of the call"
		}
		denials = append(denials, Denial{
			Field:   "parameters[" + key + "]",
			Message: message,
			Mend:    mend,
		})
	}
	return denials
}
