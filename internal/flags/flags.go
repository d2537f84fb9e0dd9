// Package flags are those that say where the other parts are: the issuer, the
// storage cluster, the token Secrets. What a flag is called and means is the same
// for every binary.
package flags

import (
	"github.com/spf13/pflag"

	"github.com/bulkhead-dev/bulkhead/exchange"
	"github.com/bulkhead-dev/bulkhead/storage"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// Storage are the flags of whatever calls the storage cluster at one
// endpoint.
func Storage(f *pflag.FlagSet, e *storage.Endpoint) {
	f.StringVar(&e.Address, "sdk-address", "", "host:port of the storage cluster's SDK (gRPC)")
	storageTLS(f, e)
}

func storageTLS(f *pflag.FlagSet, e *storage.Endpoint) {
	f.BoolVar(&e.TLS, "sdk-tls", false, "use TLS to the storage cluster")
	f.StringVar(&e.CAFile, "sdk-ca-file", "", "PEM bundle that verifies the storage cluster; the system's roots if empty")
}

// StorageEndpoints are several endpoints of one storage cluster.
type StorageEndpoints struct {
	addresses []string
	each      storage.Endpoint
}

// Flags are the flags of whatever calls each of several storage nodes.
func (e *StorageEndpoints) Flags(f *pflag.FlagSet, usage string) {
	f.StringArrayVar(&e.addresses, "sdk-address", nil, usage)
	storageTLS(f, &e.each)
}

// List is one endpoint for each address.
func (e *StorageEndpoints) List() []storage.Endpoint {
	var all []storage.Endpoint
	for _, address := range e.addresses {
		endpoint := e.each
		endpoint.Address = address
		all = append(all, endpoint)
	}
	return all
}

// Issuer are the flags of whatever asks the issuer for tokens.
func Issuer(f *pflag.FlagSet, c *exchange.Config) {
	f.StringVar(&c.IssuerURL, "issuer-url", "", "https URL of the issuer (required)")
	f.StringVar(&c.CAFile, "issuer-ca-file", "", "PEM bundle that verifies the issuer; the system's roots if empty")
	f.StringVar(&c.CredentialFile, "credential-file", "/var/run/secrets/bulkhead/token",
		"projected ServiceAccount token whose audience is the issuer URL")
	f.StringVar(&c.StorageCluster, "storage-cluster", "", "id of the storage cluster, the audience of the tokens (required)")
}

// Layout say where the token Secrets lie.
func Layout(f *pflag.FlagSet, l *tenancy.Layout) {
	f.StringVar(&l.TokenNamespace, "token-namespace", "bulkhead-tokens", "namespace of the token Secrets, closed to tenants")
	f.StringVar(&l.Template, "token-secret-template", "bulkhead-"+tenancy.Placeholder,
		"name of a token Secret, with "+tenancy.Placeholder+" for the namespace; a fixed name in placement "+string(tenancy.InTenant))
	f.StringVar((*string)(&l.Placement), "placement", string(tenancy.Central),
		"where token Secrets lie: "+string(tenancy.Central)+" (the token namespace) or "+string(tenancy.InTenant)+" (the namespace that each is for)")
}
