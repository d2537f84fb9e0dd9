package webhook

import (
	"slices"
	"strings"
)

// Rule is what people may know of a rule without reading it.
type Rule struct {
	// ID is "BH-" and the row of docs/threats.md that the rule stops.
	ID string
	// Summary is one line.
	Summary string
}

// Anchor is where the rule is explained, in docs/rules.md.
func (r Rule) Anchor() string { return "#" + strings.ToLower(r.ID) }

// Rules are all rules, sorted by id. The checks are in the files of that name.
func Rules() []Rule { return slices.Clone(catalog) }

var catalog = []Rule{
	{"BH-A1", "a claim takes no data from another tenant's namespace"},
	{"BH-A10", "a claim has no legacy Portworx annotation that clones or names a Secret"},
	{"BH-A2", "a claim takes its data from kinds that are guarded"},
	{"BH-A3", "a claim's source is not known to hold another tenant's data"},
	{"BH-A4", "a claim has no key that the driver would take for a parameter that reaches out of the tenant"},
	{"BH-A5", "a claim names no token but its own"},
	{"BH-A6", "a claim binds to no volume that is not kept for it"},
	{"BH-A7", "a claim's selector matches no volume of another tenant"},
	{"BH-A8", "a claim names one class, not two"},
	{"BH-A9", "a VolumeAttributesClass has no parameter that reaches out of the tenant"},
	{"BH-B1", "a snapshot binds to no content that is not kept for it"},
	{"BH-B2", "a snapshot content holds a volume or snapshot that its tenant may read"},
	{"BH-B3", "a snapshot is deleted with the token of its own namespace"},
	{"BH-B4", "the same for group snapshots"},
	{"BH-B5", "the volume mode does not change on restore"},
	{"BH-B6", "a snapshot class uses the token of the snapshot's namespace"},
	{"BH-C1", "a volume belongs to the tenant of the claim that it names"},
	{"BH-C2", "an in-tree volume becomes a csi one"},
	{"BH-C3", "a volume is reached with the token of its claim's namespace"},
	{"BH-C4", "a volume stays with the tenant that it is for"},
	{"BH-C5", "a Pod has no inline volume of the driver"},
	{"BH-C6", "a class uses the token of the claim's namespace"},
	{"BH-C7", "nothing reaches the driver under a name that is not guarded"},
	{"BH-D1", "Stork rolls no volume of another tenant back"},
	{"BH-D2", "Stork acts with no token but the tenant's"},
	{"BH-D3", "Stork restores nothing across tenants"},
	{"BH-D4", "Stork copies no application across tenants"},
	{"BH-D5", "CDI copies no disk across tenants"},
	{"BH-E3", "a namespace changes its tenant only by those who may, and without volumes"},
}

// known reports whether there is a rule of that id.
func known(id string) bool {
	return slices.ContainsFunc(catalog, func(r Rule) bool { return r.ID == id })
}
