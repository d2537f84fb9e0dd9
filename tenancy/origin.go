package tenancy

import "maps"

// Annotations that say which tenant an object is for: on token Secrets, and on
// volumes and snapshot contents, which outlive their namespace and are deleted
// with its token. The tenant's label is kept under TenantLabel.
const (
	OriginNamespace = "bulkhead.dev/namespace"
	OriginUID       = "bulkhead.dev/namespace-uid"
)

// Origin are the annotations that name the tenant. All three are always there,
// so that a later writer overwrites each.
func (t Tenant) Origin() map[string]string {
	return map[string]string{OriginNamespace: t.Namespace, OriginUID: t.UID, TenantLabel: t.Label}
}

// OriginOf reads what Origin wrote; ok is false if it does not name a tenant.
func OriginOf(annotations map[string]string) (t Tenant, ok bool) {
	t = Tenant{Namespace: annotations[OriginNamespace], UID: annotations[OriginUID], Label: annotations[TenantLabel]}
	return t, t.Validate() == nil
}

// HasOrigin reports whether the annotations say exactly that.
func (t Tenant) HasOrigin(annotations map[string]string) bool {
	want := t.Origin()
	have := maps.Clone(annotations)
	maps.DeleteFunc(have, func(key, _ string) bool { _, ours := want[key]; return !ours })
	return maps.Equal(have, want)
}
