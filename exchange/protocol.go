// Package exchange is the wire between a compute cluster and the issuer: OAuth
// 2.0 token exchange (RFC 8693), where the credential of a ServiceAccount buys
// a storage token for one tenant. It holds what both ends must agree on, and
// the client.
package exchange

import (
	"fmt"
	"strings"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// Names of RFC 8693 §2.1 and §3 and RFC 6749 §5.
const (
	GrantType       = "urn:ietf:params:oauth:grant-type:token-exchange"
	TokenTypeJWT    = "urn:ietf:params:oauth:token-type:jwt"
	TokenTypeAccess = "urn:ietf:params:oauth:token-type:access_token"
	TokenPath       = "/token"
)

// Error codes of RFC 6749 §5.2, RFC 8693 §2.2.2 and, for a server that cannot
// answer now, RFC 6749 §4.1.2.1.
const (
	InvalidRequest         = "invalid_request"
	InvalidClient          = "invalid_client"
	InvalidScope           = "invalid_scope"
	InvalidTarget          = "invalid_target"
	UnauthorizedClient     = "unauthorized_client"
	UnsupportedGrantType   = "unsupported_grant_type"
	TemporarilyUnavailable = "temporarily_unavailable"
	ServerError            = "server_error"
)

// Scope keys.
const (
	scopeNamespace = "namespace"
	scopeUID       = "uid"
	scopeTenant    = "tenant"
)

// Scope is a tenant as the `scope` parameter names it:
// "namespace:<name> uid:<uid>", and " tenant:<label>" for a labelled tenant.
func Scope(t tenancy.Tenant) string {
	s := scopeNamespace + ":" + t.Namespace + " " + scopeUID + ":" + t.UID
	if t.Label != "" {
		s += " " + scopeTenant + ":" + t.Label
	}
	return s
}

// ParseScope is the reverse of Scope. It fails on anything missing, unknown,
// repeated or malformed.
func ParseScope(scope string) (tenancy.Tenant, error) {
	var t tenancy.Tenant
	fields := map[string]*string{scopeNamespace: &t.Namespace, scopeUID: &t.UID, scopeTenant: &t.Label}
	for item := range strings.SplitSeq(scope, " ") {
		key, value, _ := strings.Cut(item, ":")
		field := fields[key]
		switch {
		case field == nil:
			return tenancy.Tenant{}, fmt.Errorf("scope item %.80q: want namespace:<name> uid:<uid> [tenant:<label>]", item)
		case value == "" || *field != "":
			return tenancy.Tenant{}, fmt.Errorf("scope item %.80q is empty or repeated", item)
		}
		*field = value
	}
	if err := t.Validate(); err != nil {
		return tenancy.Tenant{}, fmt.Errorf("scope: %w", err)
	}
	return t, nil
}

// Response is the answer to a successful exchange (RFC 8693 §2.2.1).
type Response struct {
	AccessToken     string `json:"access_token"`
	IssuedTokenType string `json:"issued_token_type"`
	TokenType       string `json:"token_type"`
	// ExpiresIn is the life of the token in seconds.
	ExpiresIn int64  `json:"expires_in"`
	Scope     string `json:"scope"`
	// Policy is an extension of ours (§2.2.1 allows them): a digest of what the
	// policy decides about the token. When it changes, tokens that were minted
	// before should be replaced.
	Policy string `json:"bulkhead_policy,omitempty"`
}

// ErrorResponse is the answer to a refused exchange (RFC 6749 §5.2).
type ErrorResponse struct {
	Code        string `json:"error"`
	Description string `json:"error_description,omitempty"`
}
