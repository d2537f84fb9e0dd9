package webhook

import (
	"context"
	"slices"

	"github.com/bulkhead-dev/bulkhead/storage"
)

// ruleB3: a snapshot is deleted with the token of the namespace that it is for.
// The snapshotter would use any Secret that the annotations name.
var ruleB3 = rule[*contentReview]{id: "BH-B3", check: judgeDeletion}

func judgeDeletion(ctx context.Context, l *lookup, r *contentReview) ([]Denial, error) {
	switch {
	case !r.ours:
		return nil, nil
	case r.was == nil:
		return foreignReferences(r.annotations, r.pairs), nil
	case r.user == l.sidecar:
		return nil, nil
	}
	return l.changedReferences(ctx, r.annotations, r.was.annotations, r.pairs, r.ref.Namespace, func(ctx context.Context) (bool, error) {
		for _, h := range heldHandles(r.handles) {
			if may, err := l.mayUse(ctx, r.ref.Namespace, h.handle, storage.Read); err != nil || !may {
				return false, err
			}
		}
		return true, nil
	})
}

// heldHandles are those that deleting the content reaches: the snapshots, once
// there are any. The volume that they are of may be gone, or another's by now.
func heldHandles(handles []enteringHandle) []enteringHandle {
	held := slices.DeleteFunc(slices.Clone(handles), func(h enteringHandle) bool { return h.handle == "" })
	taken := slices.DeleteFunc(slices.Clone(held), func(h enteringHandle) bool { return h.field == volumeHandleField })
	if len(taken) > 0 {
		return taken
	}
	return held
}
