package issuer

import (
	"encoding/json"
	"net/http"

	"github.com/golang-jwt/jwt/v5"

	"github.com/bulkhead-dev/bulkhead/exchange"
)

const discoveryPath = "/.well-known/openid-configuration"

// discoveryDocument is what the storage cluster reads to find the keys (OpenID
// Connect Discovery 1.0 §3, RFC 8414 §2). Without the algorithms it accepts
// RS256 alone.
type discoveryDocument struct {
	Issuer             string   `json:"issuer"`
	JWKSURI            string   `json:"jwks_uri"`
	TokenEndpoint      string   `json:"token_endpoint"`
	GrantTypes         []string `json:"grant_types_supported"`
	AuthMethods        []string `json:"token_endpoint_auth_methods_supported"`
	ResponseTypes      []string `json:"response_types_supported"`
	SubjectTypes       []string `json:"subject_types_supported"`
	IDTokenSigningAlgs []string `json:"id_token_signing_alg_values_supported"`
}

func discovery(issuerURL string) discoveryDocument {
	return discoveryDocument{
		Issuer:        issuerURL,
		JWKSURI:       issuerURL + exchange.JWKSPath,
		TokenEndpoint: issuerURL + exchange.TokenPath,
		GrantTypes:    []string{exchange.GrantType},
		AuthMethods:   []string{"none"}, // the subject_token is what proves the client
		ResponseTypes: []string{"none"},
		SubjectTypes:  []string{"public"},
		// Both, as the storage cluster reads this once and a rotation may change
		// the algorithm.
		IDTokenSigningAlgs: []string{jwt.SigningMethodES256.Alg(), jwt.SigningMethodRS256.Alg()},
	}
}

// writePublic forbids caching: the storage cluster would refuse a new key until
// a max-age ends.
func writePublic(w http.ResponseWriter, document any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(document)
}
