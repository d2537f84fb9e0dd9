package conformance

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/bulkhead-dev/bulkhead/storage"
)

// draft is a token before it is signed. Those of issuer.draft are good; each
// case of the table spoils one thing.
type draft struct {
	header, claims map[string]any
	// payload, if not empty, is signed in place of the claims.
	payload string
	// alg and key sign, whatever the header says; "none" signs with nothing.
	alg string
	key any
	// after changes the signed token, given as its three parts.
	after func(header, payload, signature string) string
}

// draft is a good token of the owner, and therefore the control of the table.
func (i *issuer) draft() *draft {
	now := time.Now()
	d := &draft{
		header: map[string]any{"alg": i.alg, "typ": "JWT"},
		claims: map[string]any{
			"iss": i.name, "sub": owner, "aud": server.ID, "jti": rand.Text(),
			"iat": now.Add(-time.Minute).Unix(), "exp": now.Add(time.Hour).Unix(),
			"name": "shop of k14c1", "email": "",
			"roles": []string{storage.TenantRole}, "groups": []string{owner},
		},
		alg: i.alg, key: i.key,
	}
	if i.kid != "" {
		d.header["kid"] = i.kid
	}
	return d
}

// token signs the draft.
func (d *draft) token() string {
	payload := []byte(d.payload)
	if d.payload == "" {
		payload = must(json.Marshal(d.claims))
	}
	header := encode(must(json.Marshal(d.header)))
	input := header + "." + encode(payload)
	signature := encode(sign(input, d.alg, d.key))
	if d.after != nil {
		return d.after(header, encode(payload), signature)
	}
	return input + "." + signature
}

// withoutEnd is the payload in JSON without its closing brace, to add to.
func (d *draft) withoutEnd() string {
	return strings.TrimSuffix(string(must(json.Marshal(d.claims))), "}")
}

// sign signs with any key in any algorithm of a fitting family, also where RFC
// 7518 forbids the pair: that is what forgers do.
func sign(input, alg string, key any) []byte {
	if alg == "none" {
		return nil
	}
	method := jwt.GetSigningMethod(alg)
	if key, ok := key.(*ecdsa.PrivateKey); ok {
		method, ok := method.(*jwt.SigningMethodECDSA)
		if !ok {
			panic("an EC key cannot sign " + alg)
		}
		r, s := signEC(input, method.Hash, key)
		return raw(r, s, method.KeySize)
	}
	return must(method.Sign(input, key))
}

func signEC(input string, hash crypto.Hash, key *ecdsa.PrivateKey) (r, s *big.Int) {
	h := hash.New()
	h.Write([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, key, h.Sum(nil))
	if err != nil {
		panic(err)
	}
	return r, s
}

// cutLast cuts around the last dot.
func cutLast(token string) (before, after string) {
	i := strings.LastIndexByte(token, '.')
	return token[:i], token[i+1:]
}

// raw is a signature as RFC 7518 §3.4 wants it: two numbers of fixed size.
func raw(r, s *big.Int, size int) []byte {
	return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
}

func encode(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

func decode(part string) []byte { return must(base64.RawURLEncoding.DecodeString(part)) }

func encodeJSON(value any) string { return encode(must(json.Marshal(value))) }

// The changes that cases are made of.

type change func(*draft)

// all makes several changes, in order.
func all(changes ...change) change {
	return func(d *draft) {
		for _, c := range changes {
			c(d)
		}
	}
}

func claim(name string, value any) change {
	return func(d *draft) { d.claims[name] = value }
}

func without(name string) change {
	return func(d *draft) { delete(d.claims, name) }
}

func header(name string, value any) change {
	return func(d *draft) { d.header[name] = value }
}

func withoutHeader(name string) change {
	return func(d *draft) { delete(d.header, name) }
}

// fromNow sets a time claim.
func fromNow(name string, in time.Duration) change {
	return func(d *draft) { d.claims[name] = time.Now().Add(in).Unix() }
}

// lasting says from when on and how long.
func lasting(iat, exp time.Duration) change { return all(fromNow("iat", iat), fromNow("exp", exp)) }

func signedBy(key any) change { return func(d *draft) { d.key = key } }

// signedWith sets the algorithm in the header and the one that signs.
func signedWith(alg string, key any) change {
	return func(d *draft) { d.header["alg"], d.alg, d.key = alg, alg, key }
}

// algorithm is signedWith for the issuer's own key.
func algorithm(alg string) change {
	return func(d *draft) { d.header["alg"], d.alg = alg, alg }
}

// unsigned has no signature, and the algorithm in the header.
func unsigned(alg any) change {
	return func(d *draft) { d.header["alg"], d.alg = alg, "none" }
}

// publicAsSecret is key confusion: the public key of the issuer, which is no
// secret, taken for a shared one.
func publicAsSecret(alg string, form func(key any) []byte) change {
	return func(d *draft) { signedWith(alg, form(d.key))(d) }
}

func after(f func(header, payload, signature string) string) change {
	return func(d *draft) { d.after = f }
}

// appended adds members to the end of the payload's JSON object, given as they
// stand in JSON, so that a name may come twice.
func appended(members string) change {
	return func(d *draft) { d.payload = d.withoutEnd() + "," + members + "}" }
}

func payload(raw string) change { return func(d *draft) { d.payload = raw } }

// tampered changes the payload after it was signed.
func tampered(changes ...change) change {
	return func(d *draft) {
		d.after = func(header, _, signature string) string {
			other := &draft{claims: maps.Clone(d.claims)}
			all(changes...)(other)
			return header + "." + encodeJSON(other.claims) + "." + signature
		}
	}
}

// reheaded changes the header after it was signed.
func reheaded(changes ...change) change {
	return func(d *draft) {
		d.after = func(_, payload, signature string) string {
			other := &draft{header: maps.Clone(d.header)}
			all(changes...)(other)
			return encodeJSON(other.header) + "." + payload + "." + signature
		}
	}
}
