package conformance

import (
	"encoding/json"
	"math"
	"strings"
	"time"

	"github.com/bulkhead-dev/bulkhead/storage"
)

// times: exp, iat and nbf. The self-signed verifier is jwt v4.3 (no leeway at
// all), the discovered one go-oidc v2 (a minute on nbf, and iat not looked at).
func times() []tokenCase {
	tooLarge := json.RawMessage("1e400")
	return []tokenCase{
		{name: "iat back-dated by a minute", from: everyone, forge: fromNow("iat", -time.Minute), want: accepted, why: "that is how the issuer mints"},
		{name: "iat back-dated by a year", from: everyone, forge: fromNow("iat", -365*24*time.Hour), want: accepted, why: "age has no limit, exp alone has"},
		{name: "iat half a minute ahead, as by a fast clock", from: selfSigned, forge: fromNow("iat", 30*time.Second), want: refusedToken, why: "there is no leeway, hence the back-dating"},
		{name: "iat half a minute ahead, back-dated by a minute", from: selfSigned, forge: fromNow("iat", 30*time.Second-time.Minute), want: accepted, why: "the back-dating swallows the fast clock"},
		{name: "iat a year ahead", from: selfSigned, forge: lasting(365*24*time.Hour, 366*24*time.Hour), want: refusedToken, why: "it is not issued yet"},
		{name: "iat a year ahead, discovered", from: onlyOIDC, forge: lasting(365*24*time.Hour, 366*24*time.Hour), want: accepted, lax: true, why: "go-oidc reads iat and does not compare it"},
		{name: "iat of zero", from: everyone, forge: claim("iat", 0), want: accepted, why: "long ago, or none: both are fine"},
		{name: "iat as a string", from: selfSigned, forge: claim("iat", "1700000000"), want: refusedToken, why: "a time is a number"},
		{name: "iat as a string, discovered", from: onlyOIDC, forge: claim("iat", "1700000000"), want: accepted, lax: true, why: "go-oidc reads a number in quotes"},
		{name: "iat as a word", from: everyone, forge: claim("iat", "yesterday"), want: refusedToken, why: "a time is a number"},
		{name: "nbf past", from: everyone, forge: fromNow("nbf", -time.Minute), want: accepted, why: "it may be used already"},
		{name: "nbf half a minute ahead", from: selfSigned, forge: fromNow("nbf", 30*time.Second), want: refusedToken, why: "there is no leeway"},
		{name: "nbf half a minute ahead, discovered", from: onlyOIDC, forge: fromNow("nbf", 30*time.Second), want: accepted, why: "go-oidc gives a minute"},
		{name: "nbf five minutes ahead", from: everyone, forge: fromNow("nbf", 5*time.Minute), want: refusedToken, why: "not even go-oidc's minute covers it"},
		{name: "expired an hour ago", from: everyone, forge: lasting(-2*time.Hour, -time.Hour), want: refusedToken, why: "it has ended"},
		{name: "expired a second ago", from: everyone, forge: fromNow("exp", -time.Second), want: refusedToken, why: "there is no leeway"},
		{name: "exp half a minute ahead", from: everyone, forge: fromNow("exp", 30*time.Second), want: accepted, why: "a short life is a life"},
		{name: "exp in the year 9999", from: everyone, forge: claim("exp", 253402300799), want: accepted, lax: true, why: "the server sets no longest life: the issuer has to"},
		{name: "exp before iat", from: everyone, forge: lasting(-time.Hour, -2*time.Hour), want: refusedToken, why: "it has ended"},
		{name: "exp with a fraction", from: everyone, forge: claim("exp", float64(time.Now().Unix())+3600.5), want: accepted, why: "a NumericDate may have one (RFC 7519 §2)"},
		{name: "exp in scientific notation", from: everyone, forge: claim("exp", json.RawMessage("2.5e11")), want: accepted, why: "it is a JSON number"},
		{name: "exp negative", from: everyone, forge: claim("exp", -1), want: refusedToken, why: "it has ended"},
		{name: "exp of zero", from: onlyOIDC, forge: claim("exp", 0), want: refusedToken, why: "it has ended, in 1970"},
		{name: "exp of zero, self-signed", from: selfSigned, forge: claim("exp", 0), want: accepted, lax: true, why: "jwt v4.3 takes zero for no exp, and no exp for no end: such a token never ends"},
		{name: "exp beyond 64 bits", from: everyone, forge: claim("exp", math.MaxFloat64), want: refusedToken, why: "it overflows into the past"},
		{name: "exp beyond what a float holds", from: everyone, forge: claim("exp", tooLarge), want: refusedToken, why: "it cannot be read"},
		{name: "exp as a string", from: selfSigned, forge: claim("exp", "4102444800"), want: refusedToken, why: "a time is a number"},
		{name: "exp as a string, discovered", from: onlyOIDC, forge: claim("exp", "4102444800"), want: accepted, lax: true, why: "go-oidc reads a number in quotes"},
		{name: "exp as a date", from: everyone, forge: claim("exp", "2099-01-01T00:00:00Z"), want: refusedToken, why: "a time is a number"},
		{name: "exp null", from: everyone, forge: claim("exp", nil), want: refusedToken, why: "a time is a number"},
		{name: "exp as an array", from: everyone, forge: claim("exp", []int64{4102444800}), want: refusedToken, why: "a time is a number"},
		{name: "exp true", from: everyone, forge: claim("exp", true), want: refusedToken, why: "a time is a number"},
	}
}

// claims: which have to be there, and of which type (openstorage
// pkg/auth/claims.go, requiredClaims).
func claims() []tokenCase {
	return []tokenCase{
		{name: "every claim", from: everyone, want: accepted, why: "nothing is missing"},
		{name: "without iss", from: everyone, forge: without("iss"), want: refusedUnheard, why: "iss chooses the verifier"},
		{name: "without sub", from: everyone, forge: without("sub"), want: refusedToken, why: "sub is required"},
		{name: "without iat", from: everyone, forge: without("iat"), want: refusedToken, why: "iat is required"},
		{name: "without exp", from: everyone, forge: without("exp"), want: refusedToken, why: "exp is required"},
		{name: "without name", from: everyone, forge: without("name"), want: refusedToken, why: "name is required"},
		{name: "without email", from: everyone, forge: without("email"), want: refusedToken, why: "email is required"},
		{name: "with name and email empty", from: everyone, forge: all(claim("name", ""), claim("email", "")), want: accepted, why: "they have to be there, not to say anything"},
		{name: "with name and email null", from: everyone, forge: all(claim("name", nil), claim("email", nil)), want: accepted, why: "they have to be there, not to say anything"},
		{name: "with name a number", from: everyone, forge: claim("name", 1), want: refusedUnheard, why: "claims that do not decode name no issuer"},
		{name: "with sub empty", from: everyone, forge: claim("sub", ""), want: refusedToken, why: "an owner has to have a name"},
		{name: "with sub null", from: everyone, forge: claim("sub", nil), want: refusedToken, why: "an owner has to have a name"},
		{name: "with sub a number", from: everyone, forge: claim("sub", 1), want: refusedUnheard, why: "claims that do not decode name no issuer"},
		{name: "with sub an array of the owner", from: everyone, forge: claim("sub", []string{owner}), want: refusedUnheard, why: "claims that do not decode name no issuer"},
		{name: "without jti", from: everyone, forge: without("jti"), want: accepted, why: "jti is not looked at"},
		{name: "with the same jti as another", from: everyone, forge: claim("jti", "the one and only"), want: accepted, why: "jti is not looked at: a token may be used any number of times"},
		{name: "without groups", from: everyone, forge: without("groups"), want: accepted, why: "groups are optional"},
		{name: "with groups a string", from: everyone, forge: claim("groups", "*"), want: refusedUnheard, why: "claims that do not decode name no issuer"},
		{name: "with an unknown claim", from: everyone, forge: claim("urn:example", map[string]any{"deep": []int{1}}), want: accepted, why: "what is unknown is ignored (RFC 7519 §4)"},

		{name: "without roles", from: everyone, forge: without("roles"), want: refusedRole, why: "no role opens nothing"},
		{name: "with roles empty", from: everyone, forge: claim("roles", []string{}), want: refusedRole, why: "no role opens nothing"},
		{name: "with roles null", from: everyone, forge: claim("roles", nil), want: refusedRole, why: "no role opens nothing"},
		{name: "with roles a string", from: everyone, forge: claim("roles", storage.TenantRole), want: refusedUnheard, why: "claims that do not decode name no issuer"},
		{name: "with roles an object", from: everyone, forge: claim("roles", map[string]bool{storage.TenantRole: true}), want: refusedUnheard, why: "claims that do not decode name no issuer"},
		{name: "with a number among the roles", from: everyone, forge: claim("roles", []any{storage.TenantRole, 1}), want: refusedUnheard, why: "claims that do not decode name no issuer"},
	}
}

// issuers: `iss` chooses the verifier and is compared letter by letter.
func issuers() []tokenCase {
	iss := func(name string) change { return claim("iss", name) }
	edited := func(edit func(string) string) change {
		return func(d *draft) { d.claims["iss"] = edit(d.claims["iss"].(string)) }
	}
	return []tokenCase{
		{name: "its own issuer", from: everyone, want: accepted, why: "it is what it says"},
		{name: "an issuer that nobody trusts", from: everyone, forge: iss("https://attacker.test"), want: refusedUnheard, why: "no verifier has that name"},
		{name: "the issuer of Kubernetes' ServiceAccount tokens", from: everyone, forge: iss("https://kubernetes.default.svc.cluster.local"), want: refusedUnheard, why: "a pod's credential is no storage token"},
		{name: "a slash after the issuer", from: everyone, forge: edited(func(s string) string { return s + "/" }), want: refusedUnheard, why: "iss is compared letter by letter"},
		{name: "the issuer in capitals", from: everyone, forge: edited(strings.ToUpper), want: refusedUnheard, why: "iss is compared letter by letter"},
		{name: "a space after the issuer", from: everyone, forge: edited(func(s string) string { return s + " " }), want: refusedUnheard, why: "iss is compared letter by letter"},
		{name: "the issuer without its scheme", from: onlyOIDC, forge: edited(func(s string) string { return strings.TrimPrefix(s, "https://") }), want: refusedUnheard, why: "iss is compared letter by letter"},
		{name: "the issuer by http", from: onlyOIDC, forge: edited(func(s string) string { return "http" + strings.TrimPrefix(s, "https") }), want: refusedUnheard, why: "iss is compared letter by letter"},
		{name: "an empty issuer", from: everyone, forge: iss(""), want: refusedUnheard, why: "iss chooses the verifier"},
		{name: "an array of issuers", from: everyone, forge: claim("iss", []string{oidc.name, ec.name}), want: refusedUnheard, why: "iss is a string"},
		{name: "the discovered issuer named by a self-signed one", from: selfSigned, forge: iss(oidc.name), want: refusedToken, why: "each issuer is verified by its own key"},
		{name: "a self-signed issuer named by the discovered one", from: onlyOIDC, forge: iss(ec.name), want: refusedToken, why: "each issuer is verified by its own key"},
		{name: "a self-signed issuer of another kind of key", from: []*issuer{ec, shared}, forge: iss(rsa2048.name), want: refusedToken, why: "there is no key of that kind"},
		{name: "another self-signed issuer of the same kind of key", from: onlyEC, forge: iss(mixed.name), want: refusedToken, why: "each issuer is verified by its own key"},
		{name: "the storage admin's issuer named by the product's", from: everyone, forge: all(iss("storage-admin"), anAdmin), want: refusedToken, why: "each issuer is verified by its own key"},
		{name: "the storage cluster named by anyone", from: everyone, forge: all(iss(server.ID), anAdmin), want: refusedToken, why: "its internal tokens are signed by its own secret"},
		{name: "the storage cluster with its id for a secret", from: []*issuer{system}, forge: signedBy([]byte(server.ID)), want: refusedToken, why: "its internal tokens are signed by its own secret"},
		{name: "the storage cluster with an empty secret", from: []*issuer{system}, forge: signedBy([]byte{}), want: refusedToken, why: "its internal tokens are signed by its own secret"},
		{name: "the storage cluster with its own secret", from: []*issuer{system}, forge: anAdmin, want: accepted, lax: true, why: "internal tokens are believed from outside too: the system secret is an admin's key"},
	}
}

// audiences: the discovered issuer was configured with the storage cluster's
// id; the self-signed mode cannot be.
func audiences() []tokenCase {
	return []tokenCase{
		{name: "the storage cluster as a string", from: everyone, want: accepted, why: "it is meant for this storage cluster"},
		{name: "the storage cluster in an array", from: everyone, forge: claim("aud", []string{server.ID}), want: accepted, why: "aud may be an array (RFC 7519 §4.1.3)"},
		{name: "the storage cluster among others", from: everyone, forge: claim("aud", []string{"storage-2", server.ID}), want: accepted, why: "one of the audiences is enough"},
		{name: "another storage cluster", from: onlyOIDC, forge: claim("aud", "storage-2"), want: refusedToken, why: "it is meant for another"},
		{name: "the storage cluster in capitals", from: onlyOIDC, forge: claim("aud", strings.ToUpper(server.ID)), want: refusedToken, why: "aud is compared letter by letter"},
		{name: "a longer name that begins with the storage cluster's", from: onlyOIDC, forge: claim("aud", server.ID+"0"), want: refusedToken, why: "aud is compared letter by letter"},
		{name: "the issuer itself", from: onlyOIDC, forge: claim("aud", oidc.name), want: refusedToken, why: "that is the audience of credentials, not of tokens"},
		{name: "none", from: onlyOIDC, forge: without("aud"), want: refusedToken, why: "a client id is configured, so aud is required"},
		{name: "an empty array", from: onlyOIDC, forge: claim("aud", []string{}), want: refusedToken, why: "a client id is configured, so aud is required"},
		{name: "an empty string", from: onlyOIDC, forge: claim("aud", ""), want: refusedToken, why: "a client id is configured, so aud is required"},
		{name: "an array with a number", from: onlyOIDC, forge: claim("aud", []any{server.ID, 1}), want: refusedToken, why: "audiences are strings"},
		{name: "an object", from: onlyOIDC, forge: claim("aud", map[string]string{"id": server.ID}), want: refusedToken, why: "audiences are strings"},
		{name: "another storage cluster, self-signed", from: selfSigned, forge: claim("aud", "storage-2"), want: accepted, lax: true, why: "self-signed mode ignores aud: two storage clusters must not share an issuer's key"},
		{name: "none, self-signed", from: selfSigned, forge: without("aud"), want: accepted, lax: true, why: "self-signed mode ignores aud"},
		{name: "an object, self-signed", from: selfSigned, forge: claim("aud", map[string]string{"id": server.ID}), want: accepted, lax: true, why: "self-signed mode ignores aud"},
	}
}

// anAdmin is what makes a token an admin's.
func anAdmin(d *draft) {
	d.claims["roles"], d.claims["groups"] = []string{"system.admin"}, []string{"*"}
}
