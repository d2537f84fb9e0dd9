package conformance

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/asn1"
	"encoding/base64"
	"math/big"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// algorithms: which the server takes, and the classic confusions between them.
func algorithms() []tokenCase {
	return []tokenCase{
		{name: "a good token", from: everyone, want: accepted, why: "each mode takes the algorithm of its key"},
		{name: "a good token by each key of one issuer: RSA", from: []*issuer{mixed}, forge: signedWith("RS256", mixedRSA), want: accepted, why: "a self-signed issuer may have one key of each kind"},
		{name: "a good token by each key of one issuer: secret", from: []*issuer{mixed}, forge: signedWith("HS256", mixedSecret), want: accepted, why: "a self-signed issuer may have one key of each kind"},
		{name: "ES384 and ES512 on their own curves", from: []*issuer{ec384, ec521}, want: accepted, why: "ES256, ES384 and ES512 are all taken"},
		{name: "RS384", from: onlyRSA, forge: algorithm("RS384"), want: accepted, why: "RS256, RS384 and RS512 are all taken"},
		{name: "RS512", from: onlyRSA, forge: algorithm("RS512"), want: accepted, why: "RS256, RS384 and RS512 are all taken"},
		{name: "HS384", from: []*issuer{shared}, forge: algorithm("HS384"), want: accepted, why: "HS256, HS384 and HS512 are all taken"},
		{name: "HS512", from: []*issuer{shared}, forge: algorithm("HS512"), want: accepted, why: "HS256, HS384 and HS512 are all taken"},
		{name: "ES384 by a P-256 key", from: onlyEC, forge: algorithm("ES384"), want: accepted, lax: true, why: "jwt v4.3 does not compare the curve with the algorithm, against RFC 7518 §3.4"},
		{name: "ES512 by a P-256 key", from: onlyEC, forge: algorithm("ES512"), want: accepted, lax: true, why: "jwt v4.3 does not compare the curve with the algorithm, against RFC 7518 §3.4"},
		{name: "ES384 by the P-256 key of the discovered issuer", from: onlyOIDC, forge: algorithm("ES384"), want: refusedToken, why: "the discovery document does not list it"},
		{name: "RS256 by the attacker, to the discovered issuer", from: onlyOIDC, forge: signedWith("RS256", strangeRSA), want: refusedToken, why: "no published key fits"},
		{name: "PS256 by the right RSA key", from: onlyRSA, forge: algorithm("PS256"), want: refusedToken, why: "the verifier knows RS, ES and HS only"},
		{name: "PS512 by the right RSA key", from: onlyRSA, forge: algorithm("PS512"), want: refusedToken, why: "the verifier knows RS, ES and HS only"},
		{name: "EdDSA", from: everyone, forge: signedWith("EdDSA", strangeEd), want: refusedToken, why: "the verifier knows RS, ES and HS only"},

		{name: "alg none", from: everyone, forge: unsigned("none"), want: refusedToken, why: "no key is chosen for none"},
		{name: "alg None", from: everyone, forge: unsigned("None"), want: refusedToken, why: "no algorithm has that name"},
		{name: "alg NONE", from: everyone, forge: unsigned("NONE"), want: refusedToken, why: "no algorithm has that name"},
		{name: "alg nOnE", from: everyone, forge: unsigned("nOnE"), want: refusedToken, why: "no algorithm has that name"},
		{name: "alg empty", from: everyone, forge: unsigned(""), want: refusedToken, why: "no algorithm has that name"},
		{name: "alg null", from: everyone, forge: unsigned(nil), want: refusedToken, why: "an algorithm has to be named"},
		{name: "alg none with a good signature left on", from: everyone, forge: reheaded(header("alg", "none")), want: refusedToken, why: "no key is chosen for none"},
		{name: "no alg, well signed", from: everyone, forge: withoutHeader("alg"), want: refusedToken, why: "an algorithm has to be named"},
		{name: "alg in lower case, well signed", from: onlyEC, forge: header("alg", "es256"), want: refusedToken, why: "names of algorithms are case-sensitive (RFC 7515 §4.1.1)"},
		{name: "alg as an array, well signed", from: everyone, forge: header("alg", []string{"ES256"}), want: refusedToken, why: "an algorithm is a string"},

		{name: "HS256 with the PEM of the public key", from: []*issuer{oidc, ec, rsa2048, mixed}, forge: publicAsSecret("HS256", publicPEM), want: refusedToken, why: "HS has a key of its own: the public key is never taken for a secret"},
		{name: "HS256 with the DER of the public key", from: []*issuer{oidc, ec, rsa2048, mixed}, forge: publicAsSecret("HS256", publicDER), want: refusedToken, why: "HS has a key of its own: the public key is never taken for a secret"},
		{name: "HS512 with the PEM without its last line end", from: []*issuer{oidc, ec, rsa2048, mixed}, forge: publicAsSecret("HS512", func(key any) []byte { return bytes.TrimSpace(publicPEM(key)) }), want: refusedToken, why: "HS has a key of its own: the public key is never taken for a secret"},
		{name: "HS256 with an empty secret", from: []*issuer{oidc, ec, rsa2048, shared, mixed}, forge: signedWith("HS256", []byte{}), want: refusedToken, why: "an issuer without a secret has no HS key, not an empty one"},
		{name: "RS256 to an issuer without an RSA key", from: []*issuer{ec, shared}, forge: signedWith("RS256", strangeRSA), want: refusedToken, why: "there is no key of that kind"},
		{name: "ES256 to an issuer without an EC key", from: []*issuer{rsa2048, shared}, forge: signedWith("ES256", strangeEC), want: refusedToken, why: "there is no key of that kind"},
		{name: "alg swapped to HS256 after signing", from: onlyEC, forge: reheaded(header("alg", "HS256")), want: refusedToken, why: "the header is signed, and there is no HS key"},
		{name: "alg swapped to RS512 after signing with RS256", from: onlyRSA, forge: reheaded(header("alg", "RS512")), want: refusedToken, why: "the header is signed"},
		{name: "alg swapped to HS512 after signing with HS256", from: []*issuer{shared}, forge: reheaded(header("alg", "HS512")), want: refusedToken, why: "the header is signed"},
	}
}

// signatures: forged, foreign and misshapen ones.
func signatures() []tokenCase {
	ecIssuers := []*issuer{oidc, ec}
	return []tokenCase{
		{name: "a key that nobody trusts", from: ecIssuers, forge: signedBy(strangeEC), want: refusedToken, why: "the signature is not the issuer's"},
		{name: "an RSA key that nobody trusts", from: onlyRSA, forge: signedBy(strangeRSA), want: refusedToken, why: "the signature is not the issuer's"},
		{name: "a guessed secret", from: []*issuer{shared}, forge: signedBy([]byte("secret")), want: refusedToken, why: "the signature is not the issuer's"},
		{name: "signature stripped, dot left", from: everyone, forge: after(func(h, p, _ string) string { return h + "." + p + "." }), want: refusedToken, why: "an empty signature is a wrong one"},
		{name: "signature stripped with its dot", from: everyone, forge: after(func(h, p, _ string) string { return h + "." + p }), want: refusedUnheard, why: "a token has three parts"},
		{name: "signature of another good token", from: everyone, forge: func(d *draft) {
			other := *d
			other.claims = map[string]any{"iss": d.claims["iss"], "sub": "another"}
			_, stolen := cutLast(other.token())
			d.after = func(h, p, _ string) string { return h + "." + p + "." + stolen }
		}, want: refusedToken, why: "a signature is of one payload"},
		{name: "one bit of the signature flipped", from: everyone, forge: after(func(h, p, s string) string {
			raw := decode(s)
			raw[0] ^= 1
			return h + "." + p + "." + encode(raw)
		}), want: refusedToken, why: "the signature does not fit"},
		{name: "signature cut by a byte", from: everyone, forge: after(func(h, p, s string) string {
			raw := decode(s)
			return h + "." + p + "." + encode(raw[:len(raw)-1])
		}), want: refusedToken, why: "a signature has one length"},
		{name: "signature with a byte more", from: everyone, forge: after(func(h, p, s string) string {
			return h + "." + p + "." + encode(append(decode(s), 0))
		}), want: refusedToken, why: "a signature has one length"},
		{name: "ES256 signature in DER", from: ecIssuers, forge: resigned(func(r, s *big.Int, _ *ecdsa.PrivateKey) []byte {
			return must(asn1.Marshal(struct{ R, S *big.Int }{r, s}))
		}), want: refusedToken, why: "JWS wants the two numbers raw (RFC 7518 §3.4)"},
		{name: "ES256 signature of two zeros", from: ecIssuers, forge: resigned(func(_, _ *big.Int, _ *ecdsa.PrivateKey) []byte {
			return make([]byte, 64)
		}), want: refusedToken, why: "zero is no valid number in ECDSA (CVE-2022-21449 elsewhere)"},
		{name: "ES256 signature of the group order twice", from: ecIssuers, forge: resigned(func(_, _ *big.Int, _ *ecdsa.PrivateKey) []byte {
			n := elliptic.P256().Params().N
			return raw(n, n, 32)
		}), want: refusedToken, why: "numbers are below the order of the group"},
		{name: "ES256 signature padded to the size of ES384", from: ecIssuers, forge: resigned(func(r, s *big.Int, _ *ecdsa.PrivateKey) []byte {
			return raw(r, s, 48)
		}), want: refusedToken, why: "ES256 has 64 bytes"},
		{name: "the twin of an ES256 signature, n-s for s", from: ecIssuers, forge: resigned(func(r, s *big.Int, key *ecdsa.PrivateKey) []byte {
			return raw(r, s.Sub(key.Params().N, s), 32)
		}), want: accepted, lax: true, why: "ECDSA is malleable: a ban by the token's text can be dodged, one by jti cannot"},
		{name: "unused bits of the last character set", from: ecIssuers, forge: after(func(h, p, s string) string {
			const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
			last := strings.IndexByte(alphabet, s[len(s)-1])
			return h + "." + p + "." + s[:len(s)-1] + alphabet[last^1:][:1]
		}), want: accepted, lax: true, why: "base64 is not read strictly: a token has several texts"},
		{name: "payload tampered: another subject", from: everyone, forge: tampered(claim("sub", "thief")), want: refusedToken, why: "the payload is signed"},
		{name: "payload tampered: a later end", from: everyone, forge: all(fromNow("exp", -time.Minute), tampered(fromNow("exp", time.Hour))), want: refusedToken, why: "the payload is signed"},
		{name: "payload tampered: an admin's role", from: everyone, forge: tampered(claim("roles", []string{"system.admin"}), claim("groups", []string{"*"})), want: refusedToken, why: "the payload is signed"},
		{name: "header tampered: another typ", from: everyone, forge: reheaded(header("typ", "at+jwt")), want: refusedToken, why: "the header is signed"},
	}
}

// keyHeaders: what a header says of keys must not matter.
func keyHeaders() []tokenCase {
	embedded := func(d *draft) { d.header["jwk"] = publicJWK(strangeEC) }
	chain := func(d *draft) { d.header["x5c"] = []string{base64.StdEncoding.EncodeToString(certificate(strangeEC))} }
	jku := func(d *draft) { d.header["jku"] = attacker.URL + "/jwks" }
	x5u := func(d *draft) { d.header["x5u"] = attacker.URL + "/chain" }
	ecIssuers := []*issuer{oidc, ec}
	return []tokenCase{
		{name: "no kid", from: onlyOIDC, forge: withoutHeader("kid"), want: accepted, why: "every published key is tried"},
		{name: "an empty kid", from: onlyOIDC, forge: header("kid", ""), want: accepted, why: "it is taken for none"},
		{name: "an unknown kid by the right key", from: onlyOIDC, forge: header("kid", "no-such-key"), want: refusedToken, why: "a kid that is given has to be published, even after a refetch"},
		{name: "the kid of the attacker's key by the right key", from: onlyOIDC, forge: header("kid", thumbprint(strangeEC)), want: refusedToken, why: "a kid that is given has to be published, even after a refetch"},
		{name: "the right kid by the attacker's key", from: onlyOIDC, forge: signedBy(strangeEC), want: refusedToken, why: "a kid chooses a key, it proves nothing"},
		{name: "no kid by the attacker's key", from: onlyOIDC, forge: all(withoutHeader("kid"), signedBy(strangeEC)), want: refusedToken, why: "no published key fits"},
		{name: "the kid of the discovered issuer's key on another's token", from: selfSigned, forge: header("kid", oidc.kid), want: accepted, why: "self-signed mode ignores kid"},
		{name: "a kid that is a path", from: selfSigned, forge: header("kid", "../../../../dev/null"), want: accepted, why: "self-signed mode ignores kid"},
		{name: "a kid that is a number", from: onlyOIDC, forge: header("kid", 1), want: refusedToken, why: "a kid is a string"},
		{name: "a kid that is a number, self-signed", from: selfSigned, forge: header("kid", 1), want: accepted, why: "self-signed mode ignores kid"},
		{name: "the attacker's key embedded as jwk", from: ecIssuers, forge: all(embedded, signedBy(strangeEC)), want: refusedToken, why: "an embedded key is not a trusted one"},
		{name: "the attacker's key embedded as jwk under its kid", from: ecIssuers, forge: all(embedded, header("kid", thumbprint(strangeEC)), signedBy(strangeEC)), want: refusedToken, why: "an embedded key is not a trusted one"},
		{name: "the attacker's key embedded, the right key signing", from: ecIssuers, forge: embedded, want: accepted, why: "jwk is ignored"},
		{name: "the attacker's certificate as x5c", from: ecIssuers, forge: all(chain, signedBy(strangeEC)), want: refusedToken, why: "an embedded chain is not a trusted one"},
		{name: "a private key embedded as jwk", from: onlyOIDC, forge: header("jwk", jose.JSONWebKey{Key: strangeEC}), want: refusedToken, why: "jose takes public keys only there (RFC 7515 §4.1.3)"},
		{name: "jku at the attacker's key set", from: everyone, forge: all(jku, header("kid", thumbprint(strangeEC)), signedBySameKind), want: refusedToken, why: "jku is ignored, and never fetched"},
		{name: "jku at the attacker's key set, the right key signing", from: everyone, forge: jku, want: accepted, why: "jku is ignored, and never fetched"},
		{name: "x5u at the attacker's chain", from: everyone, forge: all(x5u, signedBySameKind), want: refusedToken, why: "x5u is ignored, and never fetched"},
		{name: "an unknown extension in crit", from: onlyOIDC, forge: all(header("crit", []string{"bulkhead"}), header("bulkhead", true)), want: refusedToken, why: "what is critical has to be understood (RFC 7515 §4.1.11)"},
		{name: "an unknown extension in crit, self-signed", from: selfSigned, forge: all(header("crit", []string{"bulkhead"}), header("bulkhead", true)), want: accepted, lax: true, why: "jwt v4.3 ignores crit, against RFC 7515 §4.1.11"},
		{name: "another typ", from: everyone, forge: header("typ", "dpop+jwt"), want: accepted, lax: true, why: "typ is ignored: any signed JWT with these claims is a token, so the issuer's key must sign nothing else"},
		{name: "no typ", from: everyone, forge: withoutHeader("typ"), want: accepted, why: "typ is optional"},
	}
}

// resigned makes the signature of an EC issuer out of two numbers that fit.
func resigned(form func(r, s *big.Int, key *ecdsa.PrivateKey) []byte) change {
	return func(d *draft) {
		key := d.key.(*ecdsa.PrivateKey)
		d.after = func(header, payload, _ string) string {
			r, s := signEC(header+"."+payload, crypto.SHA256, key)
			return header + "." + payload + "." + encode(form(r, s, key))
		}
	}
}

// signedBySameKind signs by a key of the attacker of the issuer's kind.
func signedBySameKind(d *draft) {
	switch d.alg {
	case "ES256":
		d.key = strangeEC
	case "RS256":
		d.key = strangeRSA
	default:
		d.key = []byte("the attacker's")
	}
}
