package conformance

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// issuer is one that the storage server trusts, with what signs its tokens.
type issuer struct {
	// name is the `iss` of its tokens, and label what the output calls it.
	name, label string
	alg         string
	// key is a *ecdsa.PrivateKey, a *rsa.PrivateKey or the []byte of a secret.
	key any
	// kid is put into the header if not empty.
	kid string
}

// The issuers. All but the first and the last two are Portworx' self-signed
// mode, one for each kind of key; mixed has a key of every kind, as one issuer
// may; system is the storage cluster itself, which trusts its own internal
// tokens.
var (
	oidc    = &issuer{label: "OIDC", alg: "ES256"}
	ec      = &issuer{name: "ec.test", label: "self-signed EC", alg: "ES256"}
	ec384   = &issuer{name: "ec384.test", label: "self-signed P-384", alg: "ES384"}
	ec521   = &issuer{name: "ec521.test", label: "self-signed P-521", alg: "ES512"}
	rsa2048 = &issuer{name: "rsa.test", label: "self-signed RSA", alg: "RS256"}
	shared  = &issuer{name: "secret.test", label: "shared secret", alg: "HS256"}
	mixed   = &issuer{name: "mixed.test", label: "self-signed, EC and RSA and secret", alg: "ES256"}
	system  = &issuer{label: "system", alg: "HS256"}

	// selfSigned are one of each kind, and everyone the OIDC issuer too.
	selfSigned = []*issuer{ec, rsa2048, shared}
	everyone   = []*issuer{oidc, ec, rsa2048, shared}
	onlyOIDC   = []*issuer{oidc}
	onlyEC     = []*issuer{ec}
	onlyRSA    = []*issuer{rsa2048}
)

// Keys of the attacker, whom nobody trusts.
var (
	strangeEC  = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	strangeRSA = must(rsa.GenerateKey(rand.Reader, 2048))
	strangeEd  = ed25519.NewKeyFromSeed([]byte("seed of a key that nobody trusts"))

	// mixedRSA and mixedSecret are the other keys of the issuer mixed.
	mixedRSA    = must(rsa.GenerateKey(rand.Reader, 2048))
	mixedSecret = []byte(rand.Text())
)

// makeSelfSigned makes the keys of the self-signed issuers and returns the -jwt
// flags that make the storage server trust them.
func makeSelfSigned(dir string) (flags []string, err error) {
	ec.key = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	ec384.key = must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	ec521.key = must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))
	rsa2048.key = must(rsa.GenerateKey(rand.Reader, 2048))
	shared.key = []byte(rand.Text())
	mixed.key = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	for i, trusted := range []struct {
		name string
		keys []any
	}{
		{ec.name, []any{ec.key}},
		{ec384.name, []any{ec384.key}},
		{ec521.name, []any{ec521.key}},
		{rsa2048.name, []any{rsa2048.key}},
		{shared.name, []any{shared.key}},
		{mixed.name, []any{mixed.key, mixedRSA, mixedSecret}},
	} {
		flag := []string{trusted.name}
		for _, key := range trusted.keys {
			kind, content := verifying(key)
			path := filepath.Join(dir, fmt.Sprintf("issuer-%d-%s", i, kind))
			if err := os.WriteFile(path, content, 0o600); err != nil {
				return nil, fmt.Errorf("write the key of issuer %s: %w", trusted.name, err)
			}
			flag = append(flag, kind+"="+path)
		}
		flags = append(flags, strings.Join(flag, ","))
	}
	return flags, nil
}

// readIssuerKeys takes the signing key of the product's issuer and the secret
// of the storage cluster from the run folder.
func readIssuerKeys(env *cluster.Environment) error {
	files, err := filepath.Glob(filepath.Join(env.Storage.KeysDir, "*.pem"))
	if err != nil {
		return fmt.Errorf("the issuer's signing key: %w", err)
	}
	if len(files) != 1 {
		return fmt.Errorf("the issuer's signing key: want one, found %q", files)
	}
	raw, err := os.ReadFile(files[0])
	if err != nil {
		return fmt.Errorf("the issuer's signing key: %w", err)
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return errors.New("the issuer's signing key: no PEM block")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return fmt.Errorf("the issuer's signing key: %w", err)
	}
	signer, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return fmt.Errorf("the issuer's signing key: it is a %T", key)
	}
	oidc.name, oidc.key, oidc.kid = env.Storage.IssuerURL, signer, thumbprint(signer)

	secret, err := os.ReadFile(filepath.Join(env.Dir, "storage", "system-secret"))
	if err != nil {
		return fmt.Errorf("the storage cluster's secret: %w", err)
	}
	system.name, system.key = env.Storage.ID, []byte(strings.TrimSpace(string(secret)))
	return nil
}

// verifying is what a verifier holds of a key, as the storage server's flag
// wants it.
func verifying(key any) (kind string, content []byte) {
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		return "ec", publicPEM(key)
	case *rsa.PrivateKey:
		return "rsa", publicPEM(key)
	case []byte:
		return "secret", key
	default:
		panic(fmt.Sprintf("no verifier has a %T", key))
	}
}

func publicPEM(key any) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER(key)})
}

func publicDER(key any) []byte {
	return must(x509.MarshalPKIXPublicKey(key.(crypto.Signer).Public()))
}

// publicJWK is the public half of a key as a header or a key set has it.
func publicJWK(key crypto.Signer) jose.JSONWebKey {
	return jose.JSONWebKey{Key: key.Public(), KeyID: thumbprint(key), Algorithm: "ES256", Use: "sig"}
}

// thumbprint is the `kid` that the product's issuer gives a key (RFC 7638).
func thumbprint(key crypto.Signer) string {
	jwk := jose.JSONWebKey{Key: key.Public()}
	return base64.RawURLEncoding.EncodeToString(must(jwk.Thumbprint(crypto.SHA256)))
}

// must is for what fails only if this package has a mistake.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
