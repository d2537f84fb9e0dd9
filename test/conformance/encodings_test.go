package conformance

import (
	"encoding/base64"
	"encoding/json"
	"strings"
)

// encodings: JSON and base64 that two readers may read in two ways.
func encodings() []tokenCase {
	return []tokenCase{
		{name: "sub twice, the owner last", from: everyone, forge: all(claim("sub", "thief"), appended(`"sub":`+quoted(owner))), want: accepted, why: "the last one counts, everywhere in the server"},
		{name: "sub twice, the owner first", from: everyone, forge: appended(`"sub":"thief"`), want: refusedVolume, why: "the last one counts, everywhere in the server"},
		{name: "iss twice, a trusted one first", from: everyone, forge: appended(`"iss":"https://attacker.test"`), want: refusedUnheard, why: "the last one counts, everywhere in the server"},
		{name: "iss twice, another trusted issuer last", from: onlyEC, forge: func(d *draft) { appended(`"iss":` + quoted(oidc.name))(d) }, want: refusedToken, why: "the last one counts, and its key did not sign"},
		{name: "exp twice, the past one last", from: everyone, forge: appended(`"exp":1`), want: refusedToken, why: "the last one counts, everywhere in the server"},
		{name: "exp twice, the past one first", from: everyone, forge: all(claim("exp", 1), appended(`"exp":4102444800`)), want: accepted, why: "the last one counts, everywhere in the server"},
		{name: "the owner written with escapes", from: everyone, forge: all(claim("sub", "thief"), appended(`"sub":`+strings.Replace(quoted(owner), "s", `\u0073`, 1))), want: accepted, why: "it is the same string once it is read"},
		{name: "SUB in capitals after sub, self-signed", from: selfSigned, forge: appended(`"SUB":"thief"`), want: refusedVolume, lax: true, why: "Go matches names of claims in any case: SUB is a second sub and wins, so a claim beside the issuer's own must not resemble one of them"},
		{name: "SUB in capitals after sub, discovered", from: onlyOIDC, forge: appended(`"SUB":"thief"`), want: accepted, why: "the claims are sorted before they are read again, so sub is the last"},
		{name: "SUB in capitals makes a thief the owner, self-signed", from: selfSigned, forge: all(claim("sub", "thief"), appended(`"SUB":`+quoted(owner))), want: accepted, lax: true, why: "Go matches names of claims in any case"},
		{name: "sub with a long s makes a thief the owner", from: everyone, forge: all(claim("sub", "thief"), appended(`"ſub":`+quoted(owner))), want: accepted, lax: true, why: "U+017F folds to s, and sorts last: even the discovered issuer's sub is replaced"},
		{name: "Groups in capitals only", from: everyone, forge: all(claim("sub", "thief"), without("groups"), claim("GROUPS", []string{"*"})), want: accepted, lax: true, why: "Go matches names of claims in any case: GROUPS makes an admin"},
		{name: "ISS in capitals only", from: everyone, forge: func(d *draft) { d.claims["ISS"] = d.claims["iss"]; delete(d.claims, "iss") }, want: refusedToken, why: "it chooses the verifier, which then misses iss"},
		{name: "alg twice in the header, none first", from: selfSigned, forge: rawHeader(func(h string) string { return `{"alg":"none",` + h[1:] }), want: accepted, lax: true, why: "the last one counts, and it signed"},
		{name: "alg twice in the header, none first, discovered", from: onlyOIDC, forge: rawHeader(func(h string) string { return `{"alg":"none",` + h[1:] }), want: refusedToken, why: "jose refuses a header with a name twice"},
		{name: "alg twice in the header, none last", from: everyone, forge: rawHeader(func(h string) string { return h[:len(h)-1] + `,"alg":"none"}` }), want: refusedToken, why: "the last one counts, or a name twice is refused"},
		{name: "null for a header", from: everyone, forge: after(func(_, p, s string) string { return encode([]byte("null")) + "." + p + "." + s }), want: refusedToken, why: "an algorithm has to be named"},
		{name: "spaces around the payload's JSON", from: everyone, forge: func(d *draft) { d.payload = " \r\n" + d.withoutEnd() + "\t} \n" }, want: accepted, why: "JSON allows them"},
		{name: "a second object after the payload", from: everyone, forge: func(d *draft) { d.payload = d.withoutEnd() + `}{"sub":"thief"}` }, want: refusedUnheard, why: "claims that do not decode name no issuer"},
		{name: "a byte order mark before the payload", from: everyone, forge: func(d *draft) { d.payload = "\ufeff" + d.withoutEnd() + "}" }, want: refusedUnheard, why: "claims that do not decode name no issuer"},
		{name: "an array for a payload", from: everyone, forge: func(d *draft) { d.payload = "[" + d.withoutEnd() + "}]" }, want: refusedUnheard, why: "claims that do not decode name no issuer"},
		{name: "a string for a payload", from: everyone, forge: payload(`"sub"`), want: refusedUnheard, why: "claims that do not decode name no issuer"},
		{name: "an empty object for a payload", from: everyone, forge: payload("{}"), want: refusedUnheard, why: "no issuer is named"},
		{name: "a payload nested 20 000 deep", from: everyone, forge: appended(`"deep":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)), want: refusedUnheard, why: "Go's JSON reader stops at 10 000"},

		{name: "padding after the payload", from: everyone, forge: func(d *draft) {
			d.payload = d.withoutEnd() + "}"
			for len(d.payload)%3 == 0 {
				d.payload += " " // for a length that is padded
			}
			d.after = func(h, p, s string) string { return h + "." + padded(p) + "." + s }
		}, want: refusedUnheard, why: "JWS has no padding (RFC 7515 §2)"},
		{name: "padding after the signature", from: everyone, forge: after(func(h, p, s string) string { return h + "." + p + "." + padded(s) }), want: refusedToken, why: "JWS has no padding (RFC 7515 §2)"},
		{name: "the base64 of e-mail, with + and /", from: everyone, forge: func(d *draft) {
			d.claims["name"] = "????" // has the character 63, however it falls
			d.after = func(h, p, s string) string { return h + "." + standard(p) + "." + standard(s) }
		}, want: refusedUnheard, why: "JWS has base64url (RFC 7515 §2)"},
		{name: "a space in the header", from: selfSigned, forge: after(func(h, p, s string) string { return h[:9] + " " + h[9:] + "." + p + "." + s }), want: refusedToken, why: "a space is no base64"},
		{name: "a space in the header, discovered", from: onlyOIDC, forge: after(func(h, p, s string) string { return h[:9] + " " + h[9:] + "." + p + "." + s }), want: accepted, lax: true, why: "jose strips white space first: a token has several texts"},
		{name: "a space in the payload", from: everyone, forge: after(func(h, p, s string) string { return h + "." + p[:9] + " " + p[9:] + "." + s }), want: refusedUnheard, why: "a space is no base64"},
		{name: "a no-break space in the signature, discovered", from: onlyOIDC, forge: after(func(h, p, s string) string { return h + "." + p + "." + s[:9] + " " + s[9:] }), want: accepted, lax: true, why: "jose strips white space first: a token has several texts"},

		{name: "four parts", from: everyone, forge: after(func(h, p, s string) string { return h + "." + p + "." + s + "." }), want: refusedToken, why: "a signed token has three parts"},
		{name: "five parts, as an encrypted token has", from: everyone, forge: after(func(h, p, s string) string { return h + "." + p + "." + s + "." + p + "." + s }), want: refusedToken, why: "a signed token has three parts"},
		{name: "a header of an encrypted token", from: everyone, forge: all(header("alg", "RSA-OAEP"), header("enc", "A256GCM")), want: refusedToken, why: "no algorithm has that name"},
		{name: "one part", from: everyone, forge: after(func(_, p, _ string) string { return p }), want: refusedUnheard, why: "a token has three parts"},
		{name: "nothing between dots", from: everyone, forge: after(func(_, _, _ string) string { return ".." }), want: refusedUnheard, why: "claims that do not decode name no issuer"},
		{name: "JSON serialisation", from: everyone, forge: after(func(h, p, s string) string {
			return must2(json.Marshal(map[string]string{"protected": h, "payload": p, "signature": s}))
		}), want: refusedUnheard, why: "a token has three parts between dots"},
		{name: "JSON serialisation with the payload hinted at between dots", from: selfSigned, forge: after(hinted), want: refusedToken, why: "self-signed mode reads the compact form alone"},
		{name: "JSON serialisation with the payload hinted at between dots, discovered", from: onlyOIDC, forge: after(hinted), want: accepted, lax: true, why: "jose takes JSON too; the signature still has to be the issuer's"},
		{name: "JSON serialisation hinting at the issuer over a payload of the attacker's", from: onlyOIDC, forge: all(signedBy(strangeEC), after(hinted)), want: refusedToken, why: "the hint chooses the verifier only"},
		{name: "JSON serialisation with the good signature and the attacker's", from: onlyOIDC, forge: func(d *draft) {
			d.after = func(h, p, s string) string {
				other := encode(sign(h+"."+p, d.alg, strangeEC))
				return must2(json.Marshal(map[string]any{"payload": p, "x": "." + p + ".", "signatures": []map[string]string{
					{"protected": h, "signature": s}, {"protected": h, "signature": other},
				}}))
			}
		}, want: refusedToken, why: "one signature is allowed"},
		{name: "JSON serialisation with no signature", from: onlyOIDC, forge: after(func(_, p, _ string) string {
			return must2(json.Marshal(map[string]any{"payload": p, "x": "." + p + ".", "signatures": []any{}}))
		}), want: refusedToken, why: "one signature is wanted"},
		{name: "JSON serialisation with null for a signature", from: onlyOIDC, forge: after(func(_, p, _ string) string {
			return must2(json.Marshal(map[string]any{"payload": p, "x": "." + p + ".", "signatures": []any{nil}}))
		}), want: refusedToken, why: "one signature is wanted"},
		{name: "JSON serialisation hinting at another issuer", from: onlyOIDC, forge: after(func(h, p, s string) string {
			return must2(json.Marshal(map[string]string{"protected": h, "payload": p, "signature": s, "x": "." + encodeJSON(map[string]string{"iss": ec.name}) + "."}))
		}), want: refusedToken, why: "the hint chooses the verifier, which cannot read the rest"},
	}
}

// hinted is the JSON form (RFC 7515 §7.2) with the payload once more between
// two dots, where the server looks for the issuer.
func hinted(header, payload, signature string) string {
	return must2(json.Marshal(map[string]string{"protected": header, "payload": payload, "signature": signature, "x": "." + payload + "."}))
}

func must2(raw []byte, err error) string { return string(must(raw, err)) }

func quoted(s string) string { return must2(json.Marshal(s)) }

func padded(part string) string { return base64.URLEncoding.EncodeToString(decode(part)) }

func standard(part string) string { return base64.RawStdEncoding.EncodeToString(decode(part)) }

// rawHeader edits the JSON of the header and signs it so.
func rawHeader(edit func(string) string) change {
	return func(d *draft) {
		d.after = func(h, p, _ string) string {
			input := encode([]byte(edit(string(decode(h))))) + "." + p
			return input + "." + encode(sign(input, d.alg, d.key))
		}
	}
}
