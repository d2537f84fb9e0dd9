package tenancy

import (
	"maps"
	"testing"
)

func TestLayoutNamesSecretsByNamespace(t *testing.T) {
	l := Layout{TokenNamespace: "bulkhead-tokens", Template: "bulkhead-${namespace}"}
	if err := l.Validate(); err != nil {
		t.Fatal(err)
	}
	for got, want := range map[SecretRef]string{
		l.TokenSecret("team-a"): "bulkhead-tokens/bulkhead-team-a",
		l.ClaimTemplate():       "bulkhead-tokens/bulkhead-${pvc.namespace}",
		l.SnapshotTemplate():    "bulkhead-tokens/bulkhead-${volumesnapshot.namespace}",
		l.RetiredSecret(uidA):   "bulkhead-tokens/retired." + uidA,
	} {
		if got.String() != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestLayoutReadsItsNamesBack(t *testing.T) {
	for _, l := range []Layout{
		{TokenNamespace: "tokens", Template: "px-${namespace}-token"},
		{TokenNamespace: "tokens", Template: "token", Placement: InTenant},
	} {
		if err := l.Validate(); err != nil {
			t.Fatal(err)
		}
		if got, ok := l.NamespaceOf(l.TokenSecret("team-a")); !ok || got != "team-a" {
			t.Errorf("%s: namespace %q, %v", l.Placement, got, ok)
		}
		if got, ok := l.RetiredOf(l.RetiredSecret(uidA)); !ok || got != uidA {
			t.Errorf("%s: retired %q, %v", l.Placement, got, ok)
		}
		if got, ok := l.ContentOf(l.ContentSecret("snapcontent.1")); !ok || got != "snapcontent.1" {
			t.Errorf("%s: content %q, %v", l.Placement, got, ok)
		}
		for _, ref := range []SecretRef{
			l.RetiredSecret(uidA), l.ContentSecret("x"),
			{"tokens", "other"},
			{"elsewhere", "px-team-a-token"},
			{"tokens", "px--token"},
			{"tokens", "px-token"},
			{"tokens", "token"},
		} {
			if got, ok := l.NamespaceOf(ref); ok {
				t.Errorf("%s: %s is read as the token Secret of %q", l.Placement, ref, got)
			}
		}
		if _, ok := l.RetiredOf(SecretRef{"elsewhere", "retired." + uidA}); ok {
			t.Errorf("%s: a Secret of a tenant is read as a retired one", l.Placement)
		}
	}
}

func TestLayoutRefusesTemplatesThatCollide(t *testing.T) {
	for _, template := range []string{"", "token", "${namespace}-${namespace}", "a.${namespace}", "-${namespace}", "Token-${namespace}"} {
		if err := (Layout{TokenNamespace: "tokens", Template: template}).Validate(); err == nil {
			t.Errorf("template %q was accepted", template)
		}
	}
	if err := (Layout{Template: "${namespace}"}).Validate(); err == nil {
		t.Error("an empty token namespace was accepted")
	}
	for _, bad := range []Layout{
		{TokenNamespace: "tokens", Template: "px-${namespace}", Placement: InTenant},
		{TokenNamespace: "tokens", Template: "a.b", Placement: InTenant},
		{TokenNamespace: "tokens", Template: "", Placement: InTenant},
		{TokenNamespace: "tokens", Template: "px-${namespace}", Placement: "elsewhere"},
	} {
		if err := bad.Validate(); err == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
}

func TestClassParametersUseTheFewestKeys(t *testing.T) {
	l, d := Layout{TokenNamespace: "tokens", Template: "px-${namespace}"}, DefaultDrivers()
	for provisioner, want := range map[string]map[string]string{
		CSIDriver: {
			CSISecretName: "px-${pvc.namespace}", CSISecretNamespace: "tokens",
			AuthSecretName: "px-${pvc.namespace}", AuthSecretNamespace: "tokens",
		},
		InTreePlugin:      {AuthSecretName: "px-${pvc.namespace}", AuthSecretNamespace: "tokens"},
		"ebs.csi.aws.com": {},
	} {
		got := map[string]string{}
		for _, p := range l.ClassParameters(d, provisioner) {
			maps.Copy(got, p.Values())
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", provisioner, got, want)
		}
	}
}

func TestGroupsOfSnapshotsUseTheTokenOfTheirNamespace(t *testing.T) {
	l := Layout{TokenNamespace: "tokens", Template: "px-${namespace}"}
	for key, want := range map[string]string{
		GroupSnapshotterSecretName: "px-${volumegroupsnapshot.namespace}", GroupSnapshotterSecretNamespace: "tokens",
	} {
		if got := l.GroupSnapshotClassParameters()[0].Values()[key]; got != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
		if !NamesSecret(key) || !NamesSecretOfACall(key) {
			t.Errorf("%s is not known to name a Secret of a call", key)
		}
	}
	if got := l.GroupContentAnnotations("a")[0].Values()[GroupDeletionSecretName]; got != "px-a" {
		t.Errorf("the deletion Secret is %q", got)
	}
	for _, key := range []string{CSISecretName, AuthSecretNamespace, "OpenStorage.io/auth-secret-name", "secret_name"} {
		if NamesSecretOfACall(key) {
			t.Errorf("%s is taken for the Secret of one call", key)
		}
	}
}
