package sidecar

import (
	goflag "flag"
	"time"

	"github.com/kubernetes-csi/csi-lib-utils/standardflags"
	"github.com/spf13/pflag"

	"github.com/bulkhead-dev/bulkhead/internal/flags"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// Flags are those of the sidecar. The library keeps the flags that every CSI
// sidecar has in a variable of its own: once they are parsed, Standard is to be
// set to standardflags.Configuration.
func (c *Config) Flags(f *pflag.FlagSet) {
	standard := goflag.NewFlagSet("standard", goflag.ContinueOnError)
	standardflags.RegisterCommonFlags(standard)
	f.AddGoFlagSet(standard)
	// The library registers this one with the process-wide flags.
	f.AddGoFlag(goflag.Lookup("metrics-path"))
	f.StringVar(&c.DriverName, "driver-name", "", "name of the CSI driver, where --csi-address is empty")
	f.StringVar((*string)(&c.Proof), "proof", string(OverCSI),
		"how tokens are proven: "+string(OverCSI)+" (the driver's socket) or "+string(OverSDK)+" (--sdk-address)")
	flags.Storage(f, &c.SDK)
	f.StringVar(&c.NamespaceSelector, "namespace-selector", "", "label selector of the namespaces that get tokens; all if empty")
	f.StringSliceVar(&c.Exempt, "exempt-namespace", nil, "namespace that gets no token; may be repeated")
	f.BoolVar(&c.Lazy, "lazy", false, "give tokens only to namespaces that have or ask for a claim of the driver's classes")
	f.DurationVar(&c.RetireTimeout, "retire-timeout", 10*time.Minute, //nolint:mnd // the default says what it is
		"in placement "+string(tenancy.InTenant)+": how long a namespace may be kept from going because its token cannot be moved")
	f.IntVar(&c.Workers, "workers", 10, "refreshes, and first tokens, worked on at once")
	flags.Issuer(f, &c.Issuer)
	flags.Layout(f, &c.Layout)
}
