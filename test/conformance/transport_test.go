package conformance

import "strings"

// transport: how a token is sent.
func transport() []tokenCase {
	const kib = 1 << 10
	stuffed := func(size int) change { return claim("stuffing", strings.Repeat("x", size)) }
	return []tokenCase{
		{name: "Bearer with a capital", from: everyone, sent: scheme("Bearer "), want: accepted, why: "schemes have no case (RFC 9110 §11.1)"},
		{name: "no scheme", from: everyone, sent: scheme(""), want: refusedUnheard, why: "the scheme is bearer"},
		{name: "the scheme basic", from: everyone, sent: scheme("basic "), want: refusedUnheard, why: "the scheme is bearer"},
		{name: "bearer twice", from: everyone, sent: scheme("bearer bearer "), want: refusedToken, why: "that is no base64"},
		{name: "two spaces after bearer", from: selfSigned, sent: scheme("bearer  "), want: refusedToken, why: "a space is no base64"},
		{name: "two spaces after bearer, discovered", from: onlyOIDC, sent: scheme("bearer  "), want: accepted, lax: true, why: "jose strips white space first"},
		{name: "bearer and no token", from: everyone, sent: func(string) []string { return []string{"bearer "} }, want: refusedUnheard, why: "a token has three parts"},
		{name: "two headers, a good one first", from: everyone, sent: func(token string) []string { return append(bearer(token), bearer("x.y.z")...) }, want: accepted, why: "the first counts"},
		{name: "two headers, a good one last", from: everyone, sent: func(token string) []string { return append(bearer("x.y.z"), bearer(token)...) }, want: refusedUnheard, why: "the first counts"},
		{name: "no header, as a guest", from: everyone, sent: func(string) []string { return nil }, want: refusedGuest, why: "issuer bootstrap took every right from guests"},
		{name: "an empty header, as a guest", from: everyone, sent: func(string) []string { return []string{""} }, want: refusedGuest, why: "it is taken for none"},
		{name: "an empty header before a good one, as a guest", from: everyone, sent: func(token string) []string { return append([]string{""}, bearer(token)...) }, want: refusedGuest, why: "the first counts"},
		{name: "the guest's role in a good token", from: everyone, forge: claim("roles", []string{"system.guest"}), want: refusedRole, why: "issuer bootstrap took every right from that role"},
		{name: "64 KiB", from: everyone, forge: stuffed(48 * kib), want: accepted, why: "nothing limits a token below the limit of a header"},
		{name: "1 MiB", from: everyone, forge: stuffed(768 * kib), want: accepted, lax: true, why: "a header may have 16 MiB, and is read before anything is verified"},
		{name: "1 MiB of the attacker's", from: everyone, forge: all(stuffed(768*kib), signedBySameKind), want: refusedToken, why: "size helps no one"},
	}
}

func scheme(prefix string) func(string) []string {
	return func(token string) []string { return []string{prefix + token} }
}
