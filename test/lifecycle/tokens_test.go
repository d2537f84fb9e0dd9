package lifecycle

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/actors"
)

func TestATokenIsReplacedBeforeItEndsAndTheOldOneDies(t *testing.T) {
	team := newTeam(t, "refresh")
	first, err := team.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	old, err := actors.NewBearer(stage.Env.Storage, first)
	if err != nil {
		t.Fatal(err)
	}
	waitForAnother(t, team, first)
	if err := old.Accepted(t.Context()); err != nil {
		t.Errorf("the token was replaced after its end: %v", err)
	}
	err = actors.Eventually(t.Context(), func(ctx context.Context) (bool, error) { return old.Accepted(ctx) != nil, nil })
	if err != nil {
		t.Errorf("the old token is accepted for good: %v", err)
	}
	current, err := team.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	bearer, err := actors.NewBearer(stage.Env.Storage, current)
	if err != nil {
		t.Fatal(err)
	}
	if err := bearer.Accepted(t.Context()); err != nil {
		t.Errorf("the new token is refused: %v", err)
	}
}

// waitForAnother waits until the team's token is another than this one.
func waitForAnother(t *testing.T, team *actors.Team, token string) {
	t.Helper()
	err := actors.Eventually(t.Context(), func(ctx context.Context) (bool, error) {
		current, err := team.Token(ctx)
		return current != token, err
	})
	if err != nil {
		t.Fatalf("the token is not replaced: %v", err)
	}
}

// A new leader replaces one fresh token, whichever comes first, to learn whether tokens
// are to be had, and no other.
func TestARestartedSidecarReplacesOneFreshTokenAtMost(t *testing.T) {
	const teams = 20
	var mu sync.Mutex
	fresh := map[*actors.Team]*corev1.Secret{}
	group, ctx := errgroup.WithContext(t.Context())
	for i := range teams {
		group.Go(func() error {
			team, err := stage.Admins[0].NewTeam(ctx, fmt.Sprintf("restart-%d", i))
			if err != nil {
				return err
			}
			secret, err := team.TokenSecret(ctx)
			mu.Lock()
			defer mu.Unlock()
			fresh[team] = secret
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	sidecar := stage.Admins[0].Compute.Sidecar
	sidecar.Stop()
	if err := sidecar.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	// A namespace made after the restart shows that the sidecar works again.
	if _, err := newTeam(t, "after-restart").Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	kept, replaced := 0, 0
	for team, before := range fresh {
		after, err := team.TokenSecret(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		refresh, err := time.Parse(time.RFC3339, before.Annotations["bulkhead.dev/refresh-after"])
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case time.Now().After(refresh): // it was due
		case before.ResourceVersion == after.ResourceVersion:
			kept++
		default:
			replaced++
		}
	}
	t.Logf("of %d tokens %d were kept while they were fresh, %d replaced", teams, kept, replaced)
	if replaced > 1 || kept == 0 {
		t.Errorf("%d tokens were replaced although they were fresh, %d kept", replaced, kept)
	}
}

func TestAnOutageOfTheIssuerLeavesTokensInPlace(t *testing.T) {
	team := newTeam(t, "outage")
	token, err := team.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	issuer := stage.Env.Storage.Issuer
	issuer.Stop()
	started := false
	start := func() {
		if started {
			return
		}
		started = true
		if err := issuer.Start(context.Background()); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(start)
	// Past the refresh, to the end of the token's life: it stays published, and
	// a namespace made meanwhile has none.
	late := newTeam(t, "late")
	bearer, err := actors.NewBearer(stage.Env.Storage, token)
	if err != nil {
		t.Fatal(err)
	}
	err = actors.Eventually(t.Context(), func(ctx context.Context) (bool, error) { return bearer.Accepted(ctx) != nil, nil })
	if err != nil {
		t.Fatalf("the token does not end: %v", err)
	}
	if current, err := team.Token(t.Context()); err != nil || current != token {
		t.Errorf("the token was taken away during the outage: %v", err)
	}
	start()
	waitForAnother(t, team, token)
	if _, err := late.MakeBound(t.Context(), late.Claim("claim", actors.CSIClass)); err != nil {
		t.Error(err)
	}
}

func TestADeletedOrEditedTokenIsMadeAgain(t *testing.T) {
	team := newTeam(t, "by-hand")
	secret, err := team.TokenSecret(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	token := string(secret.Data[tenancy.TokenKey])
	if err := stage.Admins[0].Delete(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	waitForAnother(t, team, token)
	if secret, err = team.TokenSecret(t.Context()); err != nil {
		t.Fatal(err)
	}
	patch := client.MergeFrom(secret.DeepCopy())
	delete(secret.Data, tenancy.TokenKey)
	if err := stage.Admins[0].Patch(t.Context(), secret, patch); err != nil {
		t.Fatal(err)
	}
	err = actors.Eventually(t.Context(), func(ctx context.Context) (bool, error) {
		s, err := team.TokenSecret(ctx)
		return err == nil && len(s.Data[tenancy.TokenKey]) > 0, err
	})
	if err != nil {
		t.Errorf("the emptied Secret is not filled again: %v", err)
	}
}

// E1, E14: a namespace that is made again is another owner, its volumes and
// those of the old one are each deleted with their own token.
func TestE14_ANamespaceMadeAgain(t *testing.T) {
	admin := stage.Admins[0]
	old := newTeam(t, "phoenix")
	handles, err := old.MakeBound(t.Context(), old.Claim("kept", actors.CSIClass), old.Claim("dropped", actors.CSIClass))
	if err != nil {
		t.Fatal(err)
	}
	volume, err := old.Volume(t.Context(), "kept")
	if err != nil {
		t.Fatal(err)
	}
	patch := client.MergeFrom(volume.DeepCopy())
	volume.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimRetain
	if err := admin.Patch(t.Context(), volume, patch); err != nil {
		t.Fatal(err)
	}
	if err := admin.Delete(t.Context(), old.Namespace); err != nil {
		t.Fatal(err)
	}
	err = actors.Eventually(t.Context(), func(ctx context.Context) (bool, error) {
		err := admin.Get(ctx, client.ObjectKeyFromObject(old.Namespace), &corev1.Namespace{})
		return err != nil && client.IgnoreNotFound(err) == nil, client.IgnoreNotFound(err)
	})
	if err != nil {
		t.Fatal(err)
	}
	reborn := newTeam(t, "phoenix")
	newHandles, err := reborn.MakeBound(t.Context(), reborn.Claim("own", actors.CSIClass))
	if err != nil {
		t.Fatal(err)
	}
	if v, _, err := stage.Storage.Volume(t.Context(), newHandles[0]); err != nil || v.Owner != reborn.Subject() {
		t.Errorf("the new namespace's volume is owned by %q, %v", v.Owner, err)
	}
	waitForVolume(t, handles[1], false)
	waitForVolume(t, handles[0], true)

	// The retained volume is deleted long after, with the retired token, which
	// has been refreshed since.
	retired := admin.Layout.RetiredSecret(old.Tenant().UID)
	var secret corev1.Secret
	if err := admin.Get(t.Context(), types.NamespacedName{Namespace: retired.Namespace, Name: retired.Name}, &secret); err != nil {
		t.Fatal(err)
	}
	first := string(secret.Data[tenancy.TokenKey])
	err = actors.Eventually(t.Context(), func(ctx context.Context) (bool, error) {
		err := admin.Get(ctx, client.ObjectKeyFromObject(&secret), &secret)
		return string(secret.Data[tenancy.TokenKey]) != first, err
	})
	if err != nil {
		t.Fatalf("the retired token is not refreshed: %v", err)
	}
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(volume), volume); err != nil {
		t.Fatal(err)
	}
	patch = client.MergeFrom(volume.DeepCopy())
	volume.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimDelete
	if err := admin.Patch(t.Context(), volume, patch); err != nil {
		t.Fatal(err)
	}
	waitForVolume(t, handles[0], false)
	err = actors.Eventually(t.Context(), func(ctx context.Context) (bool, error) {
		err := admin.Get(ctx, client.ObjectKeyFromObject(&secret), &corev1.Secret{})
		return err != nil && client.IgnoreNotFound(err) == nil, client.IgnoreNotFound(err)
	})
	if err != nil {
		t.Errorf("the retired Secret stays for good: %v", err)
	}
}

func waitForVolume(t *testing.T, handle string, want bool) {
	t.Helper()
	err := actors.Eventually(t.Context(), func(ctx context.Context) (bool, error) {
		_, found, err := stage.Storage.Volume(ctx, handle)
		return found == want, err
	})
	if err != nil {
		t.Errorf("volume %s: want it there: %v: %v", handle, want, err)
	}
}
