package attacks

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/actors"
)

// The expressions of the policies say of every key what the rules say. No
// webhook is asked, and their name in the refusal tells that it was they.
func TestTheFirstLayerClassifiesEveryKeyAsTheRulesDo(t *testing.T) {
	s := set(t)
	team := newTeam(t, s.admin)
	err := s.withoutWebhooks(t.Context(), func() error {
		classifiesEveryKey(t, team)
		return nil
	})
	if err := errors.Join(err, s.waitForAnswer(t.Context(), false, asked)); err != nil {
		t.Error(err)
	}
}

func classifiesEveryKey(t *testing.T, team *actors.Team) {
	t.Helper()
	keys := slices.Concat(tenancy.ForbiddenKeys(), tenancy.TunableKeys(), []string{
		tenancy.AuthSecretName, tenancy.AuthSecretNamespace, "example.com/x", "Parent", "px/other", "csi.openstorage.org.x/y",
	})
	for _, prefix := range tenancy.ForbiddenPrefixes() {
		keys = append(keys, prefix+"x")
	}
	labelled := func(key string) func(*corev1.PersistentVolumeClaim) {
		return func(c *corev1.PersistentVolumeClaim) { c.Labels = map[string]string{key: "x"} }
	}
	for _, key := range keys {
		for place, change := range map[string]func(*corev1.PersistentVolumeClaim){"annotations": actors.Annotated(key, "x"), "labels": labelled(key)} {
			err := team.Create(t.Context(), team.Claim("claim", actors.CSIClass, change), client.DryRunAll)
			refused := err != nil && ourPolicy.MatchString(err.Error())
			class := tenancy.Classify(key)
			// As annotations the managed keys are written over.
			want := class == tenancy.Forbidden || (class == tenancy.Managed && place == "labels")
			if refused != want || (err != nil) != want {
				t.Errorf("%s among the %s: refused %v, want %v: %v", key, place, refused, want, err)
			}
			if want && err != nil && !strings.Contains(err.Error(), "metadata."+place+"["+key+"]: ") {
				t.Errorf("the denial of %s does not name the field: %v", key, err)
			}
		}
	}
}

// A claim with faults of both layers is refused once, for all of them.
func TestAllReasonsComeAtOnce(t *testing.T) {
	team := newTeam(t, stage.Admins[0])
	claim := team.Claim("claim", actors.CSIClass, actors.Annotated("parent", "x"), func(c *corev1.PersistentVolumeClaim) {
		c.Spec.DataSource = &corev1.TypedLocalObjectReference{APIGroup: new("example.com"), Kind: "Thing", Name: "x"}
		c.Annotations[tenancy.BetaStorageClass] = actors.InTreeClass
	})
	err := team.Create(t.Context(), claim, client.DryRunAll)
	if got := refusalOf(err).rules; !slices.Equal(got, []string{"BH-A2", "BH-A4", "BH-A8"}) {
		t.Errorf("refused by %v: %v", got, err)
	}
}

// A plain claim of ours that the first layer has finished, and a claim of another
// driver's class, are not sent to the webhook. A class of ours cannot take over
// the name under which its claims would not be guarded.
func TestTheListOfOtherDriversClassesFollowsTheClasses(t *testing.T) {
	admin := stage.Admins[0]
	team := newTeam(t, admin)
	name := uniqueName(t)
	class := func(provisioner string) *storagev1.StorageClass {
		return &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: provisioner}
	}
	// guarded is whether a claim of that class may not do what it likes.
	guarded := func(ctx context.Context) (refused, touched bool) {
		claim := team.Claim("claim", name, actors.Annotated("parent", "any"))
		refused = team.Create(ctx, claim, client.DryRunAll) != nil
		claim = team.Claim("claim", name)
		if err := team.Create(ctx, claim, client.DryRunAll); err != nil {
			t.Fatal(err)
		}
		return refused, len(claim.Annotations) > 0
	}
	eventuallyGuarded := func(what string, want bool) {
		t.Helper()
		err := actors.Eventually(t.Context(), func(ctx context.Context) (bool, error) {
			refused, touched := guarded(ctx)
			return refused == want && touched == want, nil
		})
		if err != nil {
			t.Fatalf("%s: its claims should be guarded: %v: %v", what, want, err)
		}
	}
	if refused, touched := guarded(t.Context()); !refused || !touched {
		t.Errorf("a class that nobody knows: claims refused %v, injected %v", refused, touched)
	}
	other := class("ebs.csi.aws.com")
	if err := admin.Create(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	eventuallyGuarded("a class of another driver", false)

	// Whoever drops the list is safe, and it comes back.
	var policy admissionv1.MutatingAdmissionPolicy
	if err := admin.Get(t.Context(), client.ObjectKey{Name: "bulkhead-claims"}, &policy); err != nil {
		t.Fatal(err)
	}
	policy.Spec.MatchConditions = slices.DeleteFunc(policy.Spec.MatchConditions, func(m admissionv1.MatchCondition) bool {
		return m.Name == othersCondition
	})
	if err := admin.Update(t.Context(), &policy); err != nil {
		t.Fatal(err)
	}
	err := actors.Eventually(t.Context(), func(ctx context.Context) (bool, error) {
		err := admin.Get(ctx, client.ObjectKeyFromObject(&policy), &policy)
		return strings.Contains(expressionOf(policy.Spec.MatchConditions, othersCondition), strconv.Quote(name)), err
	})
	if err != nil {
		t.Fatalf("the list does not come back: %v", err)
	}
	eventuallyGuarded("a class of another driver, once the list is back", false)

	if err := admin.Delete(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	err = actors.Eventually(t.Context(), func(ctx context.Context) (bool, error) {
		err := admin.Create(ctx, class(tenancy.CSIDriver))
		if err == nil {
			return true, nil
		}
		if !slices.Contains(refusalOf(err).rules, "BH-C7") {
			t.Fatalf("refused for another reason: %v", err)
		}
		return false, nil
	})
	if err != nil {
		t.Fatalf("the name never becomes free: %v", err)
	}
	eventuallyGuarded("a class of ours", true)
}

// A class of another driver and a claim of it, applied in one file: the claim
// comes before the list has heard of the class, and may say what a claim of ours
// may not.
func TestAClaimOfANewClassOfAnotherDriver(t *testing.T) {
	admin := stage.Admins[0]
	team := newTeam(t, admin)
	class := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: uniqueName(t)}, Provisioner: "ebs.csi.aws.com"}
	if err := admin.Create(t.Context(), class); err != nil {
		t.Fatal(err)
	}
	claim := team.Claim("claim", class.Name, actors.Annotated("parent", "chart"))
	claim.Labels = map[string]string{"group": "web"}
	if err := team.Create(t.Context(), claim); err != nil {
		t.Error(err)
	}
}
