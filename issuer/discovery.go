package issuer

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/golang-jwt/jwt/v5"

	"github.com/bulkhead-dev/bulkhead/exchange"
)

const (
	discoveryPath = "/.well-known/openid-configuration"
	jwksPath      = "/jwks"
)

// discoveryDocument is what the storage cluster reads to find the keys (OpenID
// Connect Discovery 1.0 §3, RFC 8414 §2). Without the algorithms it accepts
// RS256 alone.
type discoveryDocument struct {
	Issuer             string   `json:"issuer"`
	JWKSURI            string   `json:"jwks_uri"`
	TokenEndpoint      string   `json:"token_endpoint"`
	GrantTypes         []string `json:"grant_types_supported"`
	ResponseTypes      []string `json:"response_types_supported"`
	SubjectTypes       []string `json:"subject_types_supported"`
	IDTokenSigningAlgs []string `json:"id_token_signing_alg_values_supported"`
}

// publicDocument serves one JSON document that anyone may read. It forbids
// caching: the storage cluster would refuse a new key until a max-age ends.
func publicDocument(document any) (http.Handler, error) {
	body, err := json.Marshal(document)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", document, err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write(body)
	}), nil
}

func discovery(issuerURL string) discoveryDocument {
	return discoveryDocument{
		Issuer:             issuerURL,
		JWKSURI:            issuerURL + jwksPath,
		TokenEndpoint:      issuerURL + exchange.TokenPath,
		GrantTypes:         []string{exchange.GrantType},
		ResponseTypes:      []string{"none"},
		SubjectTypes:       []string{"public"},
		IDTokenSigningAlgs: []string{jwt.SigningMethodES256.Alg()},
	}
}
