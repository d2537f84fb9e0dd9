package webhook

import (
	"context"
	"strings"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// ruleA10: a claim does not clone, nor name a Secret, by the annotations that
// Portworx read before there was CSI.
var ruleA10 = rule[*claimReview]{id: "BH-A10", check: func(_ context.Context, _ *lookup, r *claimReview) ([]Denial, error) {
	return r.eachNewKey(func(key string) *Denial {
		if !strings.HasPrefix(key, legacyPrefix) || tenancy.Classify(key) != tenancy.Forbidden {
			return nil
		}
		return &legacyKey
	}), nil
}}

var legacyKey = Denial{
	Message: "this annotation clones a volume or names a Secret past the checks of Kubernetes",
	Mend:    "remove it; to clone, name a claim or snapshot in spec.dataSource",
}
