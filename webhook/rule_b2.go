package webhook

import (
	"context"
	"slices"

	"github.com/bulkhead-dev/bulkhead/storage"
)

// ruleB2: a snapshot content holds a volume or snapshot that the tenant of its
// snapshot may read, by the word of the storage cluster, and it stays with that
// tenant.
var ruleB2 = rule[*contentReview]{id: "BH-B2", check: judgeContent}

func judgeContent(ctx context.Context, l *lookup, r *contentReview) ([]Denial, error) {
	if !r.ours {
		return nil, nil
	}
	var denials []Denial
	if r.was != nil && (r.ref.Namespace != r.was.ref.Namespace || r.ref.Name != r.was.ref.Name) {
		denials = append(denials, Denial{
			Field:   r.refField,
			Message: "a content stays with the snapshot that it was made for",
			Mend:    "make another content",
		})
	}
	if len(r.entering) == 0 || (r.was != nil && l.provisioners[r.user]) {
		return denials, nil // the driver's own sidecar tells what the driver made
	}
	known, err := r.snapshotted(ctx)
	if err != nil {
		return denials, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout) // for all handles of a group together
	defer cancel()
	for _, h := range r.entering {
		if known && h.field == volumeHandleField {
			continue
		}
		may, err := l.mayUse(ctx, r.ref.Namespace, h.handle, storage.Read)
		if err != nil {
			return denials, err
		}
		if !may {
			denials = append(denials, Denial{
				Field:   h.field,
				Message: "the storage cluster does not let the tenant of the snapshot read this",
				Mend:    "name a volume or snapshot that belongs to the snapshot's namespace",
			})
		}
	}
	return denials, nil
}

// newHandles are those that are not known yet, each once.
func newHandles(handles []enteringHandle, known []string) []enteringHandle {
	var entering []enteringHandle
	for _, h := range handles {
		if h.handle != "" && !slices.Contains(known, h.handle) {
			known = append(known, h.handle)
			entering = append(entering, h)
		}
	}
	return entering
}
