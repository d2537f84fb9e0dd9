package webhook

import (
	"context"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// legacyPrefix starts the annotations of Portworx before CSI, which are for
// rule A10.
const legacyPrefix = "px/"

// ruleA4: a claim carries no annotation or label that the driver would take for
// a parameter that reaches for other volumes, secrets or the network, nor one
// that the admin keeps for classes.
var ruleA4 = rule[*claimReview]{id: "BH-A4", check: func(ctx context.Context, l *lookup, r *claimReview) ([]Denial, error) {
	may, err := l.tunableKeys(ctx, r)
	if err != nil {
		return nil, err
	}
	return r.eachNewKey(func(key string) *Denial {
		switch class := tenancy.Classify(key); {
		case class == tenancy.Forbidden && !strings.HasPrefix(key, legacyPrefix):
			return &forbiddenKey
		case class == tenancy.Tunable && !may(key):
			return &keptKey
		}
		return nil
	}), nil
}}

var (
	forbiddenKey = Denial{
		Message: "the storage driver would take this key for a volume parameter that a claim may not set",
		Mend:    "remove it, or ask the cluster admin for a StorageClass with that parameter",
	}
	keptKey = Denial{
		Message: "the claims of this class may not set this volume parameter",
		Mend:    "remove it, or ask the cluster admin for a StorageClass with that parameter",
	}
)

// eachNewKey judges the annotations and labels that the driver has yet to read
// and that this request brings. The denials lack their field.
func (r *claimReview) eachNewKey(judge func(key string) *Denial) []Denial {
	if !r.ours || (r.old != nil && r.old.Spec.VolumeName != "") {
		return nil // the driver reads them once, when it makes the volume
	}
	var oldAnnotations, oldLabels map[string]string
	if !r.enters {
		oldAnnotations, oldLabels = r.old.Annotations, r.old.Labels
	}
	var denials []Denial
	for _, place := range []struct {
		field        string
		current, old map[string]string
	}{
		{"metadata.annotations", r.object.Annotations, oldAnnotations},
		{"metadata.labels", r.object.Labels, oldLabels},
	} {
		for key := range place.current {
			if !changed(place.current, place.old, key) {
				continue
			}
			if d := judge(key); d != nil {
				denials = append(denials, d.at(place.field+"["+key+"]"))
			}
		}
	}
	return sorted(denials)
}

// tunableKeys says which tuning keys the claim may set.
func (l *lookup) tunableKeys(ctx context.Context, r *claimReview) (may func(key string) bool, err error) {
	switch l.policy.tunable {
	case TunableDeny:
		return func(string) bool { return false }, nil
	case TunableClass:
		class, _, err := l.class(ctx, className(r.object))
		if err != nil {
			return nil, err
		}
		listed := strings.FieldsFunc(class.Annotations[TunableKeys], func(c rune) bool { return c == ',' || c == ' ' || c == '\n' })
		return func(key string) bool { return slices.Contains(listed, key) }, nil
	case TunableAllow:
	}
	return func(string) bool { return true }, nil
}
