package tenancy

import (
	"strings"
	"testing"
)

const (
	uidA = "0b1d3a52-5a0c-4f3e-9d2f-0c6f8a1b2c3d"
	uidB = "7e6f5d4c-3b2a-4190-8877-665544332211"
)

func TestSubjectsNeverMeet(t *testing.T) {
	tenants := []Tenant{
		{Namespace: "team-a", UID: uidA},
		{Namespace: "team-a", UID: uidB},
		{Namespace: "team-b", UID: uidA},
		{Namespace: "tenant", UID: uidA},
		{Namespace: "x", UID: uidA, Label: "team-a"},
		{Namespace: "x", UID: uidA, Label: "team-a." + uidA[:8]},
	}
	owners := map[string]Tenant{}
	for _, tenant := range tenants {
		for _, cluster := range []string{"k14c1", "k14c2"} {
			subject := tenant.Subject(cluster)
			if other, taken := owners[subject]; taken {
				t.Errorf("%v and %v share the subject %q", tenant, other, subject)
			}
			owners[subject] = tenant
			if got, ok := tenant.SubjectOf(subject); !ok || got != cluster {
				t.Errorf("SubjectOf(%q) = %q, %v; want %q", subject, got, ok, cluster)
			}
		}
	}
}

func TestSubjectOfRefusesWhatIsNotTheTenants(t *testing.T) {
	tenant := Tenant{Namespace: "team-a", UID: uidA}
	for _, subject := range []string{
		"", "@", "team-a." + uidA, "team-a." + uidA + "@", "team-a." + uidB + "@k14c1",
		"team-b." + uidA + "@k14c1", "team-a." + uidA + "@k14c1@k14c2", "tenant/team-a@k14c1",
	} {
		if cluster, ok := tenant.SubjectOf(subject); ok {
			t.Errorf("SubjectOf(%q) = %q, true; want false", subject, cluster)
		}
	}
}

func TestSame(t *testing.T) {
	plain := Tenant{Namespace: "a", UID: uidA}
	for name, c := range map[string]struct {
		a, b Tenant
		want bool
	}{
		"one namespace":                          {plain, plain, true},
		"one name, made again":                   {plain, Tenant{Namespace: "a", UID: uidB}, false},
		"two namespaces":                         {plain, Tenant{Namespace: "b", UID: uidB}, false},
		"two namespaces of a labelled tenant":    {Tenant{"a", uidA, "t"}, Tenant{"b", uidB, "t"}, true},
		"two labelled tenants":                   {Tenant{"a", uidA, "t"}, Tenant{"b", uidB, "u"}, false},
		"a plain namespace and a labelled":       {plain, Tenant{"b", uidB, "a"}, false},
		"labelled like the namespace's own name": {plain, Tenant{"a", uidA, "a"}, false},
	} {
		if got := c.a.Same(c.b); got != c.want {
			t.Errorf("%s: Same = %v, want %v", name, got, c.want)
		}
	}
}

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		tenant Tenant
		ok     bool
	}{
		"plain":                      {Tenant{"team-a", uidA, ""}, true},
		"labelled":                   {Tenant{"team-a", uidA, "Fin_1.x"}, true},
		"no namespace":               {Tenant{"", uidA, ""}, false},
		"namespace with a dot":       {Tenant{"a.b", uidA, ""}, false},
		"namespace with an at sign":  {Tenant{"a@b", uidA, ""}, false},
		"namespace too long":         {Tenant{strings.Repeat("a", 64), uidA, ""}, false},
		"uid in another form":        {Tenant{"a", "{" + uidA + "}", ""}, false},
		"uid without dashes":         {Tenant{"a", strings.ReplaceAll(uidA, "-", ""), ""}, false},
		"no uid":                     {Tenant{"a", "", ""}, false},
		"uid in capitals":            {Tenant{"a", strings.ToUpper(uidA), ""}, false},
		"label with a slash":         {Tenant{"a", uidA, "x/y"}, false},
		"label that ends the domain": {Tenant{"a", uidA, "x@k14c2"}, false},
	} {
		if err := c.tenant.Validate(); (err == nil) != c.ok {
			t.Errorf("%s: Validate = %v, want ok %v", name, err, c.ok)
		}
	}
}

func TestClusterOf(t *testing.T) {
	for subject, want := range map[string]string{
		"team-a." + uidA + "@k14c1":       "k14c1",
		"tenant/payments@k14c2":           "k14c2",
		"kubernetes1admin@portworx.io":    "",
		"kubernetes1admin":                "",
		"":                                "",
		"team-a." + uidA:                  "",
		"team-a." + uidA + "@":            "",
		"team-a." + uidA + "@a@b":         "",
		"team-a." + uidA + ".x@k14c1":     "",
		"tenant/@k14c1":                   "",
		"tenant/a/b@k14c1":                "",
		"Team." + uidA + "@k14c1":         "",
		"team-a." + uidA[:35] + "G@k14c1": "",
	} {
		cluster, ok := ClusterOf(subject)
		if ok != (want != "") || (ok && cluster != want) {
			t.Errorf("ClusterOf(%q) = %q, %v; want %q", subject, cluster, ok, want)
		}
	}
}
