package issuer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

// signingKey signs tokens with ES256 (RFC 7518 §3.4).
type signingKey struct {
	private *ecdsa.PrivateKey
	// id is the RFC 7638 thumbprint of the public key, the `kid` of its tokens.
	id string
}

// loadSigningKey reads a P-256 private key from a PEM file (PKCS #8 or SEC 1).
// Errors name the file and never its content.
func loadSigningKey(path string) (*signingKey, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, fmt.Errorf("signing key %s: no PEM block in it", path)
	}
	private, err := parseECKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", path, err)
	}
	id, err := thumbprint(jose.JSONWebKey{Key: private.Public()})
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", path, err)
	}
	return &signingKey{private: private, id: id}, nil
}

func parseECKey(der []byte) (*ecdsa.PrivateKey, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		key, err = x509.ParseECPrivateKey(der)
	}
	private, ok := key.(*ecdsa.PrivateKey)
	if err != nil || !ok || private == nil || private.Curve != elliptic.P256() {
		return nil, errors.New("want an EC private key on the curve P-256")
	}
	return private, nil
}

func (k *signingKey) sign(claims jwt.Claims) (string, error) {
	token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	token.Header["kid"] = k.id
	signed, err := token.SignedString(k.private)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return signed, nil
}

// jwks is the public half, as the storage cluster fetches it.
func (k *signingKey) jwks() jose.JSONWebKeySet {
	return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{
		Key: k.private.Public(), KeyID: k.id, Algorithm: jwt.SigningMethodES256.Alg(), Use: "sig",
	}}}
}

func thumbprint(key jose.JSONWebKey) (string, error) {
	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("thumbprint: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}
