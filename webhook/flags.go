package webhook

import (
	"github.com/spf13/pflag"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// RuleFlags are the flags that decide what the rules say of an object. The
// defaults are those of c, and of the flags where c has none.
func (c *Config) RuleFlags(f *pflag.FlagSet) {
	if len(c.Drivers.CSI)+len(c.Drivers.InTree) == 0 {
		c.Drivers = tenancy.DefaultDrivers()
	}
	f.StringArrayVar(&c.Drivers.CSI, "csi-driver", c.Drivers.CSI, "name of a CSI driver of the storage cluster (repeatable)")
	f.StringArrayVar(&c.Drivers.InTree, "in-tree-plugin", c.Drivers.InTree, "name of an in-tree plugin of the storage cluster (repeatable)")
	f.StringArrayVar(&c.Provisioners, "provisioner-service-account", nil,
		"namespace/name of the ServiceAccount under which the driver's csi-provisioner runs (repeatable)")
	f.StringVar(&c.Sidecar, "sidecar-service-account", "bulkhead-system/bulkhead-sidecar",
		"namespace/name of the ServiceAccount of Bulkhead's sidecar, which alone moves references to retired tokens")
	policyFlags(f, &c.Policy)
}

// policyFlags are what the admin decides about the rules.
func policyFlags(f *pflag.FlagSet, p *Policy) {
	f.StringArrayVar(&p.Modes, "rule-mode", nil,
		"<rule>=enforce|warn|off, e.g. BH-A4=warn (repeatable); a rule that is not named is enforced")
	f.StringArrayVar(&p.ExemptNamespaces, "exempt-namespace", nil, "namespace whose own objects no rule judges (repeatable)")
	f.StringArrayVar(&p.ExemptUsers, "exempt-user", nil,
		"<user>=<rule>[,<rule>...]: a user whom those rules do not judge, e.g. system:serviceaccount:velero:velero=BH-B5 (repeatable)")
	f.StringArrayVar(&p.SourceKinds, "data-source-kind", nil,
		"<kind>.<group> that a claim may take its data from, besides PersistentVolumeClaim and VolumeSnapshot (repeatable)")
	f.StringVar((*string)(&p.Tunable), "tunable", string(TunableAllow),
		"what claims may do with keys that tune the driver: allow, deny, or class (those that the annotation "+TunableKeys+" of their class lists)")
	f.StringVar((*string)(&p.Stork), "stork", string(StorkRefuse),
		"what happens to objects by which Stork acts on volumes: refuse, or tenant (they get the token of their namespace)")
}
