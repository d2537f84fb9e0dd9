package webhook

import (
	"context"
	"maps"
	"slices"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// originKeys are the annotations that say whose a volume or snapshot content
// is. The sidecar mints the tokens of namespaces that are gone from them, so
// nobody's word is taken for them.
func originKeys() []string { return slices.Sorted(maps.Keys(tenancy.Tenant{}.Origin())) }

// attribute writes annotations, and with them the origin of an object that is
// made for a namespace: over what is there, and if the namespace is not there
// in the place of it.
func (p *patch) attribute(ctx context.Context, l *lookup, current, entries map[string]string, namespace string) error {
	// The namespace may have been made again a moment ago.
	tenant, found, err := l.tenantNow(ctx, namespace)
	if err != nil {
		return err
	}
	if found {
		maps.Copy(entries, tenant.Origin())
	}
	p.setEntries("/metadata/annotations", current, entries)
	if !found {
		p.removeEntries("/metadata/annotations", current, originKeys())
	}
	return nil
}

// putBack restores what an update leaves out: the origin and the pairs. What it
// changes is for a rule to judge.
func (p *patch) putBack(current, old map[string]string, pairs []tenancy.Pair) {
	entries := map[string]string{}
	for _, key := range append(originKeys(), keysOf(pairs)...) {
		value, had := old[key]
		if _, has := current[key]; had && !has {
			entries[key] = value
		}
	}
	p.setEntries("/metadata/annotations", current, entries)
}

// keysOf are all keys of the pairs, sorted.
func keysOf(pairs []tenancy.Pair) []string { return slices.Sorted(maps.Keys(allPairs(pairs))) }

// changedReferences judges an update of the annotations that name the Secret of
// a later call and the tenant. The sidecar alone moves them, to the retired
// token of a namespace that is gone; putting in what belongs there is no harm.
// owned asks the storage cluster whether the object is of the namespace's tenant.
func (l *lookup) changedReferences(
	ctx context.Context, current, old map[string]string, pairs []tenancy.Pair, namespace string, owned func(context.Context) (bool, error),
) ([]Denial, error) {
	want := allPairs(pairs)
	if _, said := tenancy.OriginOf(old); !said && slices.ContainsFunc(originKeys(), func(key string) bool { return changed(current, old, key) }) {
		// An object from before the install may be told whose it is, if it is: the
		// namespace may have been made again since.
		tenant, found, err := l.tenantNow(ctx, namespace)
		if err == nil && found {
			found, err = owned(ctx)
		}
		if err != nil {
			return nil, err
		}
		if found {
			maps.Copy(want, tenant.Origin())
		}
	}
	var denials []Denial
	for _, key := range append(originKeys(), keysOf(pairs)...) {
		is, has := current[key]
		was, had := old[key]
		if right, ok := want[key]; (has == had && is == was) || (ok && has && is == right) {
			continue
		}
		denials = append(denials, Denial{
			Field:   "metadata.annotations[" + key + "]",
			Message: "this annotation says by whose token the storage is reached, and is kept by Bulkhead",
			Mend:    "leave it as it is",
		})
	}
	return denials, nil
}

// foreignReferences judges the annotations that an object is made with.
func foreignReferences(current map[string]string, pairs []tenancy.Pair) []Denial {
	want := allPairs(pairs)
	var denials []Denial
	for _, key := range keysOf(pairs) {
		if current[key] != want[key] {
			denials = append(denials, Denial{
				Field:   "metadata.annotations[" + key + "]",
				Message: "this annotation names the token Secret of the object's own namespace and no other",
				Mend:    "leave out the pair, it is filled in",
			})
		}
	}
	return denials
}
