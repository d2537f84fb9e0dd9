package issuer

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"go.yaml.in/yaml/v3"
)

const (
	// manifestName is the entry of a key store that says when each key is used.
	manifestName = "keys.yaml"

	// Endings of the other entries: a private key in PEM (EC P-256 signs with
	// ES256, RSA with RS256), or a shared secret (HS256).
	pemEnding    = ".pem"
	secretEnding = ".secret"

	minRSABits     = 2048
	minSecretBytes = 32

	// expirySlack keeps a replaced key published a little longer than the last
	// token it signed, for clocks that differ.
	expirySlack = 5 * time.Minute
)

// key is one signing key and its schedule, which every replica reads the same
// way: it is published from publish on, signs from sign on until the next key
// does, and stays published until the last token it signed has expired.
type key struct {
	name   string
	method jwt.SigningMethod
	// private is an *ecdsa.PrivateKey, *rsa.PrivateKey or, shared, []byte.
	private any
	// id is the `kid`: the RFC 7638 thumbprint of the public key, or the name of
	// a shared secret, of which nothing is published.
	id string
	// public is zero for a shared secret.
	public jose.JSONWebKey
	// issuer is the `iss` of the key's tokens; empty for the server's.
	issuer        string
	publish, sign time.Time
}

func (k *key) shared() bool { return k.public.Key == nil }

func (k *key) signToken(claims jwt.Claims) (string, error) {
	token := jwt.NewWithClaims(k.method, claims)
	token.Header["kid"] = k.id
	signed, err := token.SignedString(k.private)
	if err != nil {
		return "", fmt.Errorf("sign with key %s: %w", k.name, err)
	}
	return signed, nil
}

// keyRing is all keys, in the order in which they sign.
type keyRing struct{ keys []*key }

// signing is the key that signs now. If the clock says that none does yet, it is
// the first: a clock that is wrong must not stop all minting.
func (r *keyRing) signing(now time.Time) *key {
	for _, k := range slices.Backward(r.keys) {
		if !now.Before(k.sign) {
			return k
		}
	}
	return r.keys[0]
}

// ends is when the i-th key leaves the published set; never for the last one.
// By then the longest life that any policy can grant has passed since the next
// key began to sign, so that no change of the policy cuts a token short.
func (r *keyRing) ends(i int) (time.Time, bool) {
	if i+1 == len(r.keys) {
		return time.Time{}, false
	}
	return r.keys[i+1].sign.Add(maxLife + expirySlack), true
}

// inUse are the keys whose tokens are to be accepted now.
func (r *keyRing) inUse(now time.Time) []*key {
	var keys []*key
	signing := r.signing(now)
	for i, k := range r.keys {
		end, ending := r.ends(i)
		early, late := now.Before(k.publish), ending && !now.Before(end)
		if k == signing || (!early && !late) {
			keys = append(keys, k)
		}
	}
	return keys
}

// published is the public half of what verifies tokens now.
func (r *keyRing) published(now time.Time) jose.JSONWebKeySet {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, k := range r.inUse(now) {
		if !k.shared() {
			set.Keys = append(set.Keys, k.public)
		}
	}
	return set
}

// manifestEntry is the schedule of one key in the manifest.
type manifestEntry struct {
	Name    string    `yaml:"name"`
	Publish time.Time `yaml:"publish"`
	Sign    time.Time `yaml:"sign"`
	Issuer  string    `yaml:"issuer,omitempty"`
}

type manifest struct {
	Keys []manifestEntry `yaml:"keys"`
}

// parseKeys reads the entries of a key store. A store without a manifest holds
// one key, which has always signed. Errors name entries, never their content.
func parseKeys(files map[string][]byte) (*keyRing, error) {
	m, err := parseManifest(files)
	if err != nil {
		return nil, err
	}
	ring := &keyRing{}
	for _, entry := range m.Keys {
		k, err := parseKey(files, entry.Name)
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", entry.Name, err)
		}
		k.issuer, k.publish, k.sign = entry.Issuer, entry.Publish, entry.Sign
		ring.keys = append(ring.keys, k)
	}
	slices.SortStableFunc(ring.keys, func(a, b *key) int { return cmp.Or(a.sign.Compare(b.sign), cmp.Compare(a.name, b.name)) })
	return ring, nil
}

func parseManifest(files map[string][]byte) (*manifest, error) {
	raw, ok := files[manifestName]
	if !ok {
		names := keyNames(files)
		if len(names) != 1 {
			return nil, fmt.Errorf("%d keys and no %s that says which one signs: want one key, or the manifest", len(names), manifestName)
		}
		return &manifest{Keys: []manifestEntry{{Name: names[0]}}}, nil
	}
	var m manifest
	decoder := yaml.NewDecoder(bytes.NewReader(raw))
	decoder.KnownFields(true)
	if err := decoder.Decode(&m); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w", manifestName, err)
	}
	seen := map[string]bool{}
	for i, entry := range m.Keys {
		switch {
		case entry.Name == "" || seen[entry.Name]:
			return nil, fmt.Errorf("%s: keys[%d]: the name is missing or taken", manifestName, i)
		case entry.Publish.After(entry.Sign):
			return nil, fmt.Errorf("%s: key %q would sign before it is published", manifestName, entry.Name)
		}
		seen[entry.Name] = true
	}
	if len(m.Keys) == 0 {
		return nil, fmt.Errorf("%s: no keys", manifestName)
	}
	return &m, nil
}

// keyNames are the names of the keys in a store, without their endings.
func keyNames(files map[string][]byte) []string {
	var names []string
	for _, file := range slices.Sorted(maps.Keys(files)) {
		for _, ending := range []string{pemEnding, secretEnding} {
			if name, ok := strings.CutSuffix(file, ending); ok && name != "" {
				names = append(names, name)
			}
		}
	}
	return names
}

func parseKey(files map[string][]byte, name string) (*key, error) {
	if raw, ok := files[name+secretEnding]; ok {
		secret := bytes.TrimSpace(raw)
		if len(secret) < minSecretBytes {
			return nil, fmt.Errorf("a shared secret has at least %d bytes", minSecretBytes)
		}
		return &key{name: name, id: name, method: jwt.SigningMethodHS256, private: secret}, nil
	}
	raw, ok := files[name+pemEnding]
	if !ok {
		return nil, fmt.Errorf("neither %s%s nor %s%s is there", name, pemEnding, name, secretEnding)
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, errors.New("no PEM block in it")
	}
	k := &key{name: name}
	var public crypto.PublicKey
	switch private := parsePrivate(block.Bytes).(type) {
	case *ecdsa.PrivateKey:
		if private.Curve != elliptic.P256() {
			return nil, errors.New("an EC key must be on the curve P-256")
		}
		k.private, k.method, public = private, jwt.SigningMethodES256, private.Public()
	case *rsa.PrivateKey:
		if private.N.BitLen() < minRSABits {
			return nil, fmt.Errorf("an RSA key has at least %d bits", minRSABits)
		}
		k.private, k.method, public = private, jwt.SigningMethodRS256, private.Public()
	default:
		return nil, errors.New("want an EC or RSA private key, PKCS #8, SEC 1 or PKCS #1")
	}
	var err error
	if k.id, err = thumbprint(jose.JSONWebKey{Key: public}); err != nil {
		return nil, err
	}
	k.public = jose.JSONWebKey{Key: public, KeyID: k.id, Algorithm: k.method.Alg(), Use: "sig"}
	return k, nil
}

// parsePrivate returns nil for what is no private key.
func parsePrivate(der []byte) any {
	if private, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return private
	}
	if private, err := x509.ParseECPrivateKey(der); err == nil {
		return private
	}
	if private, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return private
	}
	return nil
}

func thumbprint(key jose.JSONWebKey) (string, error) {
	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("thumbprint: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}

// digest tells one content of a store from another.
func digest(files map[string][]byte) [sha256.Size]byte {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(h, "%d %s %d ", len(name), name, len(files[name]))
		_, _ = h.Write(files[name]) // a hash never fails
	}
	return [sha256.Size]byte(h.Sum(nil))
}
