package sidecar

import (
	"context"
	"errors"
	"testing"

	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/actors"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// upgrade installs the sidecar with other values, until the test's end.
func upgrade(t *testing.T, admin *actors.ClusterAdmin, how cluster.Installation) {
	t.Helper()
	name := admin.Compute.Name
	if how.Values == "" {
		how.Values = stage.Installations[name].Values
	}
	if err := stage.Env.UpgradeSidecar(t.Context(), admin.Compute, how); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stage.Env.UpgradeSidecar(context.Background(), admin.Compute, stage.Installations[name]); err != nil {
			t.Fatal(err)
		}
	})
}

// label sets a label on a team's namespace.
func label(t *testing.T, team *actors.Team, key, value string) {
	t.Helper()
	changed := team.Namespace.DeepCopy()
	metav1.SetMetaDataLabel(&changed.ObjectMeta, key, value)
	if err := team.Admin.Patch(t.Context(), changed, client.MergeFrom(team.Namespace)); err != nil {
		t.Fatal(err)
	}
}

func TestOnlySelectedNamespacesThatAreNotExemptGetATokenAndOneThatHasOneKeepsItWhileItIsUsed(t *testing.T) {
	admin := central()
	user := newTeam(t, admin, "has-volumes")
	mustBind(t, user, user.Claim("claim", actors.CSIClass))
	upgrade(t, admin, cluster.Installation{Values: `sidecar: {namespaceSelector: "tokens in (yes,please)", exemptNamespaces: [exempt]}`})

	unlabelled := newTeam(t, admin, "unlabelled")
	exempt, err := admin.NewTeam(t.Context(), "exempt")
	if err != nil {
		t.Fatal(err)
	}
	label(t, exempt, "tokens", "yes")
	// It comes after both, so once it has its token they would have theirs.
	selected := newTeam(t, admin, "selected")
	label(t, selected, "tokens", "please")
	waitForToken(t, selected)
	for _, team := range []*actors.Team{unlabelled, exempt} {
		if err := gone(t.Context(), admin, object(live(team))); err != nil {
			t.Errorf("%s has a token: %v", team.Namespace.Name, err)
		}
	}
	label(t, unlabelled, "tokens", "yes")
	waitForToken(t, unlabelled)

	// Its volumes are mounted and deleted with the token, so it stays good for
	// longer than a life.
	writes := func() []write { return recorders[admin].of(live(user)) }
	before := len(writes())
	within(t, 2*tokenLife, "the token of a namespace that has volumes replaced", func(ctx context.Context) error {
		if err := holdsTokenOf(ctx, user, live(user)); err != nil || len(writes()) > before {
			return err
		}
		return context.DeadlineExceeded
	})
	if err := admin.Delete(t.Context(), exempt.Namespace); err != nil {
		t.Error(err)
	}
}

func TestALazySidecarWaitsForAClaim(t *testing.T) {
	admin := central()
	upgrade(t, admin, cluster.Installation{Values: "sidecar: {lazy: true}"})
	idle, asking := newTeam(t, admin, "idle"), newTeam(t, admin, "asking")
	mustBind(t, asking, asking.Claim("claim", actors.CSIClass))
	if err := holdsTokenOf(t.Context(), asking, live(asking)); err != nil {
		t.Error(err)
	}
	// A claim of another driver's class does not ask.
	class := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "elsewhere"}, Provisioner: "ebs.csi.aws.com"}
	if err := admin.Create(t.Context(), class); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Delete(context.WithoutCancel(t.Context()), class) })
	// A class counts as ours until the webhook has said otherwise.
	within(t, patience, "the class known to be another driver's", func(ctx context.Context) error {
		probe := idle.Claim("probe", class.Name)
		if err := admin.Create(ctx, probe, client.DryRunAll); err != nil {
			return err
		}
		if _, injected := probe.Annotations[tenancy.AuthSecretName]; injected {
			return errors.New("a claim of it is taken for one of ours")
		}
		return nil
	})
	other := idle.Claim("other", class.Name)
	if err := idle.Create(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	last := newTeam(t, admin, "last")
	mustBind(t, last, last.Claim("claim", actors.InTreeClass))
	if err := gone(t.Context(), admin, object(live(idle))); err != nil {
		t.Errorf("a namespace without a claim of ours has a token: %v", err)
	}
	if err := admin.Get(t.Context(), types.NamespacedName{Namespace: other.Namespace, Name: other.Name}, other); err != nil {
		t.Error(err)
	}
}
