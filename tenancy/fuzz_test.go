package tenancy

import (
	"strings"
	"testing"
)

const fuzzUID = "0b1d3a52-5a0c-4f3e-9d2f-0c6f8a1b2c3d"

// Whatever annotations say: a tenant that is read out of them is written back as it
// was read, and its subject is its own and nobody else's.
func FuzzOrigin(f *testing.F) {
	f.Add("team-a", fuzzUID, "")
	f.Add("team-a", fuzzUID, "Fin_1.x")
	f.Add("tenant/x", fuzzUID, "a/b")
	f.Add("a", strings.ToUpper(fuzzUID), "x@y")
	f.Fuzz(func(t *testing.T, namespace, uid, label string) {
		tenant, ok := OriginOf(map[string]string{OriginNamespace: namespace, OriginUID: uid, TenantLabel: label})
		if !ok {
			return
		}
		if !tenant.HasOrigin(tenant.Origin()) {
			t.Errorf("%+v is not what its origin says", tenant)
		}
		subject := tenant.Subject("k14c1")
		if cluster, own := tenant.SubjectOf(subject); !own || cluster != "k14c1" {
			t.Errorf("%q is not the subject of %+v", subject, tenant)
		}
		if cluster, ok := ClusterOf(subject); !ok || cluster != "k14c1" {
			t.Errorf("%q is of cluster %q, %v", subject, cluster, ok)
		}
		other := Tenant{Namespace: "other", UID: "7e6f5d4c-3b2a-4190-8877-665544332211"}
		if _, theirs := other.SubjectOf(subject); theirs && !other.Same(tenant) {
			t.Errorf("%q is the subject of another tenant too", subject)
		}
	})
}

// Whatever a subject is: if it is read, there is one tenant that it is the subject
// of, and one cluster.
func FuzzSubject(f *testing.F) {
	f.Add("team-a." + fuzzUID + "@k14c1")
	f.Add("tenant/Fin_1.x@k14c1")
	f.Add("tenant/@k14c1")
	f.Add("a@b@c")
	f.Fuzz(func(t *testing.T, subject string) {
		cluster, ok := ClusterOf(subject)
		if !ok {
			return
		}
		own, _, _ := strings.Cut(subject, "@")
		namespace, uid, _ := strings.Cut(own, ".")
		tenant := Tenant{Namespace: namespace, UID: uid}
		if label, labelled := strings.CutPrefix(own, labelledPrefix); labelled {
			tenant = Tenant{Namespace: "a", UID: fuzzUID, Label: label}
		}
		if tenant.Subject(cluster) != subject || tenant.Validate() != nil {
			t.Errorf("%q reads as %+v of %q", subject, tenant, cluster)
		}
	})
}

// Whatever a Secret is called: it is of one kind at most, and its name is the one
// that this kind would give it.
func FuzzSecretName(f *testing.F) {
	for _, template := range []string{"px-" + Placeholder, Placeholder, "a" + Placeholder + "-token", "fixed"} {
		for _, name := range []string{"px-team-a", "retired." + fuzzUID, "content.snap-1", "fixed", "px-"} {
			f.Add(template, "tokens", name)
			f.Add(template, "team-a", name)
		}
	}
	f.Fuzz(func(t *testing.T, template, namespace, name string) {
		for _, placement := range []Placement{Central, InTenant} {
			l := Layout{Placement: placement, TokenNamespace: "tokens", Template: template}
			if l.Validate() != nil {
				continue
			}
			ref := SecretRef{namespace, name}
			kinds := 0
			if of, ok := l.NamespaceOf(ref); ok {
				kinds++
				if l.TokenSecret(of) != ref {
					t.Errorf("%v is the token Secret of %q, whose is %v", ref, of, l.TokenSecret(of))
				}
			}
			if uid, ok := l.RetiredOf(ref); ok {
				kinds++
				if l.RetiredSecret(uid) != ref {
					t.Errorf("%v is the retired Secret of %q, whose is %v", ref, uid, l.RetiredSecret(uid))
				}
			}
			if content, ok := l.ContentOf(ref); ok {
				kinds++
				if l.ContentSecret(content) != ref {
					t.Errorf("%v is the Secret of content %q, whose is %v", ref, content, l.ContentSecret(content))
				}
			}
			if kinds > 1 {
				t.Errorf("%+v: %v is of %d kinds", l, ref, kinds)
			}
		}
	})
}
