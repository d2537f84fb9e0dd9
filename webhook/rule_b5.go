package webhook

import "context"

// allowModeChange on a content lets claims of another volume mode be restored
// from it (external-snapshotter pkg/utils, AnnAllowVolumeModeChange): a file
// system of the tenant's making becomes one that the node's kernel mounts.
const allowModeChange = "snapshot.storage.kubernetes.io/allow-volume-mode-change"

// ruleB5: the mode of a volume does not change on restore.
var ruleB5 = rule[*contentReview]{id: "BH-B5", check: func(_ context.Context, _ *lookup, r *contentReview) ([]Denial, error) {
	if !r.ours || !changed(r.annotations, r.before(), allowModeChange) || r.annotations[allowModeChange] == "false" {
		return nil, nil
	}
	return []Denial{{
		Field:   "metadata.annotations[" + allowModeChange + "]",
		Message: "a volume cannot be restored in another mode",
		Mend:    "remove it; the cluster admin can exempt the user of a backup tool that needs it",
	}}, nil
}}
