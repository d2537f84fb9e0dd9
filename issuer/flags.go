package issuer

import "github.com/spf13/pflag"

// Flags are those of a server, but for what says where storage nodes are and what
// is done with them at its start.
func (c *Config) Flags(f *pflag.FlagSet) {
	f.StringVar(&c.Address, "address", ":8443", "host:port to serve tokens and keys on, with TLS")
	f.StringVar(&c.HTTPEndpoint, "http-endpoint", ":8080", "host:port to serve /metrics, /healthz and /readyz on; empty for none")
	f.StringVar(&c.IssuerURL, "issuer-url", "", "https URL of this issuer, as compute clusters and the storage cluster reach it (required)")
	f.StringVar(&c.TokenIssuer, "token-issuer", "", "`iss` of the tokens; the issuer URL if empty, the storage cluster's jwt_issuer in its self-signed modes")
	f.StringVar(&c.TLSCertFile, "tls-cert-file", "", "serving certificate, PEM, reloaded when it changes (required)")
	f.StringVar(&c.TLSKeyFile, "tls-key-file", "", "key of the serving certificate, PEM (required)")
	f.StringVar(&c.KeysDir, "keys-dir", "", "folder of the signing keys, such as a mounted Secret, reloaded when it changes (required)")
	f.StringVar(&c.PolicyFile, "policy-file", "", "policy, YAML, reloaded when it changes (required)")
	f.DurationVar(&c.Backdate, "iat-backdate", DefaultBackdate, "how far the issue time of a token lies in the past, for clocks that differ")
	f.StringVar(&c.AuditLog, "audit-log", "-", "file that a JSON line for each exchange is appended to; - for standard output")
	f.BoolVar(&c.DiscoverPrivate, "discover-private", false, "let the discovery of a cluster's keys reach private addresses")
}
