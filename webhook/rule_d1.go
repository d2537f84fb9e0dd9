package webhook

import "context"

// ruleD1: a restore in place rolls back volumes of its own tenant alone. Stork
// looks for the snapshot, and for the claims, in the source's namespace.
var ruleD1 = rule[*review[storkObject]]{id: "BH-D1", check: func(ctx context.Context, l *lookup, r *review[storkObject]) ([]Denial, error) {
	source := r.object.Spec.SourceNamespace
	if r.object.Kind != "VolumeSnapshotRestore" || source == "" || (r.old != nil && r.old.Spec.SourceNamespace == source) {
		return nil, nil
	}
	same, err := l.sameTenant(ctx, r.namespace, source)
	if err != nil || same {
		return nil, err
	}
	return []Denial{{
		Field:   "spec.sourceNamespace",
		Message: "a restore cannot reach into a namespace of another tenant",
		Mend:    "name the namespace of the object itself",
	}}, nil
}}
