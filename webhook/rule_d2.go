package webhook

import (
	"context"
	"maps"
	"slices"
)

// ruleD2: Stork acts with no token but the tenant's own. Without one it acts as
// whoever it is to the storage cluster, so unless the cluster admin has decided
// otherwise it does not act at all.
var ruleD2 = rule[*review[storkObject]]{id: "BH-D2", check: func(_ context.Context, l *lookup, r *review[storkObject]) ([]Denial, error) {
	if l.policy.stork == StorkRefuse && r.old == nil {
		return []Denial{{
			Field:   "kind",
			Message: "Stork would act on the storage with rights that the tenant does not have",
			Mend:    "use a VolumeSnapshot of snapshot.storage.k8s.io, or ask the cluster admin",
		}}, nil
	}
	want := allPairs(l.layout.ClaimAnnotations(r.namespace))
	var denials []Denial
	for _, place := range []struct {
		field        string
		current, old map[string]string
	}{
		{"metadata.annotations", r.object.Annotations, oldOf(r, func(o *storkObject) map[string]string { return o.Annotations })},
		{"spec.template.metadata.annotations", r.object.Spec.Template.Annotations, oldOf(r, func(o *storkObject) map[string]string { return o.Spec.Template.Annotations })},
	} {
		for _, key := range slices.Sorted(maps.Keys(want)) {
			if changed(place.current, place.old, key) && (place.current[key] != want[key] || r.namespace == "") {
				denials = append(denials, Denial{
					Field:   place.field + "[" + key + "]",
					Message: "this annotation points to the token of the object's own namespace and nowhere else",
					Mend:    "leave it out, it is filled in",
				})
			}
		}
	}
	return denials, nil
}}

// oldOf reads the object before an update, nothing on creation.
func oldOf[T, V any](r *review[T], read func(*T) V) V {
	if r.old == nil {
		var none V
		return none
	}
	return read(r.old)
}
