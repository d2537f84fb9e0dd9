package conformance

import (
	"strings"

	"github.com/bulkhead-dev/bulkhead/storage"
)

// owners: who is let at the owner's volume. The owner is the bare string of the
// `sub` of the token that made the volume, compared byte by byte.
func owners() []tokenCase {
	sub := func(s string) change { return all(claim("sub", s), claim("groups", []string{s})) }
	stranger := sub("bank.00000000-0000-4000-8000-000000000000@k14c2")
	return []tokenCase{
		{name: "the owner", from: onlyOIDC, want: accepted, why: "its issuer's token made the volume"},
		{name: "the owner's subject by another issuer", from: append(selfSigned, mixed), want: accepted, lax: true, why: "an owner is a bare sub, not bound to an issuer: whoever may name subjects may name all"},
		{name: "another tenant", from: everyone, forge: stranger, want: refusedVolume, why: "it is not the owner"},
		{name: "the namespace made again, with another uid", from: everyone, forge: sub(strings.Replace(owner, "8f3c6a52", "8f3c6a53", 1)), want: refusedVolume, why: "it is not the owner"},
		{name: "the same namespace of another cluster", from: everyone, forge: sub(strings.Replace(owner, "k14c1", "k14c2", 1)), want: refusedVolume, why: "it is not the owner"},
		{name: "the owner in capitals", from: everyone, forge: sub(strings.ToUpper(owner)), want: refusedVolume, why: "it is compared byte by byte"},
		{name: "the owner with one capital", from: everyone, forge: sub("S" + owner[1:]), want: refusedVolume, why: "it is compared byte by byte"},
		{name: "the owner with a Cyrillic o", from: everyone, forge: sub(strings.Replace(owner, "o", "\u043e", 1)), want: refusedVolume, why: "no form of unicode is made equal"},
		{name: "the owner with a long s, which folds to s", from: everyone, forge: sub(strings.Replace(owner, "s", "\u017f", 1)), want: refusedVolume, why: "no form of unicode is made equal"},
		{name: "the owner with a full-width @", from: everyone, forge: sub(strings.Replace(owner, "@", "\uff20", 1)), want: refusedVolume, why: "no form of unicode is made equal"},
		{name: "the owner with a zero-width space", from: everyone, forge: sub(strings.Replace(owner, "@", "\u200b@", 1)), want: refusedVolume, why: "no form of unicode is made equal"},
		{name: "the owner with a combining mark", from: everyone, forge: sub(owner + "\u0301"), want: refusedVolume, why: "no form of unicode is made equal"},
		{name: "the owner and a space", from: everyone, forge: sub(owner + " "), want: refusedVolume, why: "it is compared byte by byte"},
		{name: "a space and the owner", from: everyone, forge: sub(" " + owner), want: refusedVolume, why: "it is compared byte by byte"},
		{name: "the owner and a zero byte", from: everyone, forge: sub(owner + "\x00"), want: refusedVolume, why: "it is compared byte by byte"},
		{name: "the owner and a line end", from: everyone, forge: sub(owner + "\n"), want: refusedVolume, why: "it is compared byte by byte"},
		{name: "the beginning of the owner", from: everyone, forge: sub(strings.TrimSuffix(owner, "1")), want: refusedVolume, why: "it is compared byte by byte"},
		{name: "a star for a subject", from: everyone, forge: all(claim("sub", "*"), without("groups")), want: refusedVolume, why: "subjects are no patterns"},
		{name: "the owner among the groups", from: everyone, forge: all(stranger, claim("groups", []string{owner})), want: refusedVolume, why: "a group is not an owner"},
		{name: "the owner as name, e-mail and preferred name", from: everyone, forge: all(stranger, claim("name", owner), claim("email", owner), claim("preferred_username", owner)), want: refusedVolume, why: "sub alone is the user"},
	}
}

// rights: what roles and the admin's group open.
func rights() []tokenCase {
	roles := func(names ...string) change { return claim("roles", names) }
	groups := func(names ...string) change { return claim("groups", names) }
	stranger := claim("sub", "bank.00000000-0000-4000-8000-000000000000@k14c2")
	return []tokenCase{
		{name: "the tenant's role at its own volume", from: everyone, want: accepted, why: "that is its work"},
		{name: "the tenant's role listing roles", from: everyone, asks: listsRoles, want: refusedRole, why: "roles are the admin's"},
		{name: "the inspect role at its own volume", from: everyone, forge: roles(storage.InspectRole), want: accepted, why: "that is its work"},
		{name: "the inspect role at another's volume", from: everyone, forge: all(stranger, roles(storage.InspectRole)), want: refusedVolume, why: "a role opens calls, not volumes"},
		{name: "a role that does not exist", from: everyone, forge: roles("bulkhead.nobody"), want: refusedRole, why: "it opens nothing"},
		{name: "a role that does not exist beside one that does", from: everyone, forge: roles("bulkhead.nobody", storage.TenantRole), want: accepted, why: "one role that opens is enough"},
		{name: "the tenant's role in capitals", from: everyone, forge: roles(strings.ToUpper(storage.TenantRole)), want: refusedRole, why: "roles are compared letter by letter"},
		{name: "a star for a role", from: everyone, forge: roles("*"), want: refusedRole, why: "roles are no patterns"},
		{name: "an empty role", from: everyone, forge: roles(""), want: refusedRole, why: "it opens nothing"},
		{name: "a path for a role", from: everyone, forge: roles("x/../" + storage.TenantRole), want: refusedRole, why: "names of roles are no paths"},
		{name: "a bit of the admin's role", from: everyone, forge: roles("system"), want: refusedRole, why: "it opens nothing"},

		{name: "group * with the tenant's role at another's volume", from: everyone, forge: all(stranger, groups("*")), want: accepted, lax: true, why: "the group alone makes an admin of volumes: any role that opens the call will do"},
		{name: "group * with the tenant's role listing roles", from: everyone, asks: listsRoles, forge: groups("*"), want: refusedRole, why: "the group opens volumes, not calls"},
		{name: "group * and no role at another's volume", from: everyone, forge: all(stranger, groups("*"), roles()), want: refusedRole, why: "the group opens volumes, not calls"},
		{name: "group * with the inspect role at another's volume", from: everyone, forge: all(stranger, groups("*"), roles(storage.InspectRole)), want: accepted, lax: true, why: "the group alone makes an admin of volumes: any role that opens the call will do"},
		{name: "group ** at another's volume", from: everyone, forge: all(stranger, groups("**", "*a", "* ")), want: refusedVolume, why: "the admin's group is one star, not a pattern"},
		{name: "system.admin without group * at another's volume", from: everyone, forge: all(stranger, roles("system.admin")), want: refusedVolume, why: "the role opens calls, not volumes"},
		{name: "system.admin without group * listing roles", from: everyone, asks: listsRoles, forge: roles("system.admin"), want: accepted, lax: true, why: "the role alone opens every call, roles and pairing tokens among them: half an admin is one"},
		{name: "system.admin with group * at another's volume", from: everyone, forge: all(stranger, anAdmin), want: accepted, lax: true, why: "the server limits no issuer: the product's own key could make admins, so its policy must not"},
		{name: "system.user at another's volume", from: everyone, forge: all(stranger, roles("system.user")), want: refusedVolume, why: "a role opens calls, not volumes"},
	}
}
