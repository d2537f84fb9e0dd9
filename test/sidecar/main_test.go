// Package sidecar watches the sidecar at work on real clusters, one for each
// placement of the token Secrets: through the lives of namespaces, and while the
// issuer, the driver, the API server, or the sidecar itself is away.
package sidecar

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/actors"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

const (
	// tokenLife is short enough to see tokens being replaced, and long enough for
	// one to outlast a disturbance.
	tokenLife = 20 * time.Second
	// soon is how long a thing may take that takes a second or two on an idle
	// machine.
	soon = 30 * time.Second
	// patience is for what waits for the end of a token's life, or for
	// controllers of Kubernetes that try again ever more rarely.
	patience = time.Minute
)

// Names of the clusters.
const (
	centralName = "k14c1"
	tenantName  = "k14c2"
)

var (
	stage = actors.Stage{
		Front:         true,
		Installations: map[string]cluster.Installation{tenantName: inTenants},
	}
	inTenants = cluster.Installation{Values: "tokens: {placement: tenant}"}
)

func TestMain(m *testing.M) {
	stage.Ready = watchTokens
	os.Exit(actors.RunOnStage(m, &stage, tokenLife, centralName, tenantName))
}

// central and tenant are the admins of the clusters of each placement.
func central() *actors.ClusterAdmin { return stage.Admins[0] }
func tenant() *actors.ClusterAdmin  { return stage.Admins[1] }

// place is a test in one of the clusters.
type place struct {
	*testing.T

	admin *actors.ClusterAdmin
}

// inBothPlacements runs the test in both clusters at once. The tests themselves go
// one after the other: some disturb what all share.
func inBothPlacements(t *testing.T, test func(place)) {
	t.Helper()
	for _, admin := range stage.Admins {
		t.Run("in placement "+string(admin.Layout.Placement), func(t *testing.T) {
			t.Parallel()
			test(place{t, admin})
		})
	}
}

var teams atomic.Int32

// newTeam makes a team in a namespace of its own.
func newTeam(t *testing.T, admin *actors.ClusterAdmin, name string) *actors.Team {
	t.Helper()
	team, err := admin.NewTeam(t.Context(), fmt.Sprintf("%s-%d", name, teams.Add(1)))
	if err != nil {
		t.Fatal(err)
	}
	return team
}

// within asks until it gets nil, and fails the test if that takes too long. What
// still lacks then is the last answer.
func within(t *testing.T, limit time.Duration, what string, ask func(context.Context) error) {
	t.Helper()
	if err := poll(t.Context(), limit, ask); err != nil {
		t.Fatalf("%s: not within %v: %v", what, limit, err)
	}
}

func poll(ctx context.Context, limit time.Duration, ask func(context.Context) error) error {
	const interval = 100 * time.Millisecond
	last := errors.New("never asked")
	err := wait.PollUntilContextTimeout(ctx, interval, limit, true, func(ctx context.Context) (bool, error) {
		err := ask(ctx)
		// What fails because time is up says less than what failed before.
		if err == nil || ctx.Err() == nil {
			last = err
		}
		return err == nil, nil
	})
	if err != nil {
		return last
	}
	return nil
}

// secretOf reads a token Secret.
func secretOf(ctx context.Context, admin *actors.ClusterAdmin, ref tenancy.SecretRef) (*corev1.Secret, error) {
	var secret corev1.Secret
	err := admin.Get(ctx, client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}, &secret)
	return &secret, err
}

// holdsTokenOf is nil if the Secret holds a token that is the team's and that the
// storage cluster accepts.
func holdsTokenOf(ctx context.Context, team *actors.Team, ref tenancy.SecretRef) error {
	secret, err := secretOf(ctx, team.Admin, ref)
	if err != nil {
		return err
	}
	return isTokenOf(ctx, team, secret)
}

func isTokenOf(ctx context.Context, team *actors.Team, secret *corev1.Secret) error {
	token := string(secret.Data[tenancy.TokenKey])
	claims, err := claimsOf(token)
	if err != nil {
		return err
	}
	if claims.Subject != team.Subject() {
		return fmt.Errorf("the token is of %s, not of %s", claims.Subject, team.Subject())
	}
	if written := secret.Annotations["bulkhead.dev/subject"]; written != claims.Subject {
		return fmt.Errorf("the Secret says it is of %q", written)
	}
	bearer, err := actors.NewBearer(stage.Env.Storage, token)
	if err != nil {
		return err
	}
	return bearer.Accepted(ctx)
}

// live is the team's own token Secret.
func live(team *actors.Team) tenancy.SecretRef {
	return team.Admin.Layout.TokenSecret(team.Namespace.Name)
}

// waitForToken waits until the team has a good token.
func waitForToken(t *testing.T, team *actors.Team) {
	t.Helper()
	within(t, soon, "a token for "+team.Namespace.Name, func(ctx context.Context) error {
		return holdsTokenOf(ctx, team, live(team))
	})
}

// mustBind makes claims and returns the handles of their volumes.
func mustBind(t *testing.T, team *actors.Team, claims ...*corev1.PersistentVolumeClaim) []string {
	t.Helper()
	handles, err := team.MakeBound(t.Context(), claims...)
	if err != nil {
		t.Fatal(err)
	}
	return handles
}

// waitForVolume waits until the storage cluster has the volume or snapshot, or
// has it no more.
func waitForVolume(t *testing.T, handle string, want bool) {
	t.Helper()
	within(t, patience, fmt.Sprintf("volume %s there: %v", handle, want), func(ctx context.Context) error {
		return volumeIs(ctx, handle, want)
	})
}

func volumeIs(ctx context.Context, handle string, want bool) error {
	volume, found, err := stage.Storage.Volume(ctx, handle)
	if err == nil && found != want {
		err = fmt.Errorf("found: %v (owner %s)", found, volume.Owner)
	}
	return err
}

// gone is nil if the object is not there.
func gone(ctx context.Context, admin *actors.ClusterAdmin, object client.Object) error {
	err := admin.Get(ctx, client.ObjectKeyFromObject(object), object)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("%s is still there, finalizers %v", object.GetName(), object.GetFinalizers())
	}
	return err
}

// deleteNamespace asks for the end of a team's namespace.
func deleteNamespace(t *testing.T, team *actors.Team) {
	t.Helper()
	if err := team.Admin.Delete(t.Context(), team.Namespace.DeepCopy()); err != nil {
		t.Fatal(err)
	}
}

// makeAgain makes a namespace of the same name the moment that the old one has
// gone.
func makeAgain(t *testing.T, old *actors.Team, limit time.Duration) *actors.Team {
	t.Helper()
	var team *actors.Team
	within(t, limit, "namespace "+old.Namespace.Name+" made again", func(ctx context.Context) (err error) {
		team, err = old.Admin.NewTeam(ctx, old.Namespace.Name)
		return err
	})
	return team
}

// wantNoFailure fails the test if a component has ended that should not have.
func wantNoFailure(t *testing.T) {
	t.Helper()
	select {
	case err := <-stage.Env.Failed():
		t.Fatal(err)
	default:
	}
}
