package webhook

import (
	"context"
	"slices"
)

// ruleD5: CDI copies disks inside one tenant, whatever the storage: what the
// source is made of cannot be looked at without telling that it is there.
var ruleD5 = rule[*review[cdiObject]]{id: "BH-D5", check: func(ctx context.Context, l *lookup, r *review[cdiObject]) ([]Denial, error) {
	var denials []Denial
	was := oldOf(r, (*cdiObject).ends)
	for _, end := range r.object.ends() {
		if slices.Contains(was, end) {
			continue
		}
		// An ObjectTransfer is the cluster's: it stays where it comes from.
		home := r.namespace
		if home == "" {
			home = r.object.Spec.Source.Namespace
		}
		same, err := l.sameTenant(ctx, home, end.namespace)
		if err != nil {
			return denials, err
		}
		if !same {
			denials = append(denials, Denial{
				Field:   end.field,
				Message: "a disk is not copied between namespaces of different tenants",
				Mend:    "name a source in the namespace of the object",
			})
		}
	}
	return denials, nil
}}

// cdiEnd is a field and the namespace that it names.
type cdiEnd struct{ field, namespace string }

func (o *cdiObject) ends() []cdiEnd {
	var all []cdiEnd
	add := func(field string, ref *cdiReference) {
		if ref != nil && ref.Namespace != "" {
			all = append(all, cdiEnd{field + ".namespace", ref.Namespace})
		}
	}
	for _, part := range []struct {
		field string
		spec  *cdiSpec
	}{{"spec", &o.Spec.cdiSpec}, {"spec.template.spec", &o.Spec.Template.Spec}} {
		add(part.field+".source", &part.spec.Source.cdiReference)
		add(part.field+".source.pvc", part.spec.Source.PVC)
		add(part.field+".source.snapshot", part.spec.Source.Snapshot)
		add(part.field+".source.dataSource", part.spec.Source.DataSource)
		add(part.field+".sourceRef", part.spec.SourceRef)
	}
	add("spec.target", &o.Spec.Target)
	return all
}
