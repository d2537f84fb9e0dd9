package webhook

import (
	"context"
	"maps"
	"slices"
)

// ruleD4: Stork copies and moves applications inside one tenant. Both ends are
// judged: what is read is disclosed, what is written is overwritten.
var ruleD4 = rule[*review[storkObject]]{id: "BH-D4", check: func(ctx context.Context, l *lookup, r *review[storkObject]) ([]Denial, error) {
	var denials []Denial
	for _, part := range []struct {
		field   string
		is, was storkScope
	}{
		{"spec", r.object.Spec.storkScope, oldOf(r, func(o *storkObject) storkScope { return o.Spec.storkScope })},
		{"spec.template.spec", r.object.Spec.Template.Spec, oldOf(r, func(o *storkObject) storkScope { return o.Spec.Template.Spec })},
	} {
		for _, end := range part.is.ends(r.object.Kind) {
			if slices.ContainsFunc(part.was.ends(r.object.Kind), end.equal) {
				continue
			}
			for _, namespace := range end.namespaces {
				same, err := l.sameTenant(ctx, r.namespace, namespace)
				if err != nil {
					return denials, err
				}
				if !same {
					denials = append(denials, Denial{
						Field:   part.field + "." + end.field,
						Message: "an application stays inside its tenant",
						Mend:    "name namespaces of the object's own tenant alone",
					})
					break
				}
			}
		}
	}
	return denials, nil
}}

// scopeEnd is a field and the namespaces that it names.
type scopeEnd struct {
	field      string
	namespaces []string
}

func (e scopeEnd) equal(o scopeEnd) bool {
	return e.field == o.field && slices.Equal(e.namespaces, o.namespaces)
}

// ends are the namespaces that an action names. A selector of namespaces names
// any, so it stands for one that cannot be the tenant's.
func (s storkScope) ends(kind string) []scopeEnd {
	var all []scopeEnd
	add := func(field string, namespaces ...string) {
		if len(namespaces) > 0 && !slices.Equal(namespaces, []string{""}) {
			all = append(all, scopeEnd{field, namespaces})
		}
	}
	if kind != "VolumeSnapshotRestore" { // for rule D1
		add("sourceNamespace", s.SourceNamespace)
	}
	add("destinationNamespace", s.DestinationNamespace)
	add("namespaces", s.Namespaces...)
	if s.NamespaceSelector != "" {
		add("namespaceSelector", "*"+s.NamespaceSelector)
	}
	add("namespaceMapping", append(slices.Sorted(maps.Keys(s.NamespaceMapping)), slices.Sorted(maps.Values(s.NamespaceMapping))...)...)
	return all
}
