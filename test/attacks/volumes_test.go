package attacks

import (
	"testing"

	"github.com/bulkhead-dev/bulkhead/test/actors"
)

// What admission does not see, the token stops.
func TestT_TheStorageClusterRefusesTheThiefsOwnToken(t *testing.T) {
	owner, handle := victim(t)
	for name, thief := range thieves(t) {
		t.Run(name, func(t *testing.T) {
			if _, err := thief.MakeBound(t.Context(), thief.Claim("own", actors.CSIClass)); err != nil {
				t.Fatal(err)
			}
			token, err := thief.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			bearer, err := actors.NewBearer(stage.Env.Storage, token)
			if err != nil {
				t.Fatal(err)
			}
			if err := bearer.Accepted(t.Context()); err != nil {
				t.Fatalf("the thief's token is no good, so its refusal would show nothing: %v", err)
			}
			ctx := t.Context()
			wantRefused(t, "inspect", bearer.Inspect(ctx, handle))
			wantRefused(t, "clone", bearer.Clone(ctx, handle, "stolen"))
			wantRefused(t, "clone by the driver", thief.CloneByDriver(ctx, token, "own", handle))
			wantRefused(t, "snapshot", bearer.Snapshot(ctx, handle, "stolen"))
			wantRefused(t, "attach", bearer.Attach(ctx, handle))
			wantRefused(t, "delete", bearer.Delete(ctx, handle))
			wantRefused(t, "create a role", bearer.CreateRole(ctx))
			wantRefused(t, "read settings", bearer.ReadClusterSettings(ctx))
			wantRefused(t, "read the pairing token", bearer.ReadPairToken(ctx))
		})
	}
	volume, found, err := stage.Storage.Volume(t.Context(), handle)
	if err != nil || !found || volume.Owner != owner.Subject() {
		t.Errorf("afterwards the volume is %+v, found %v, %v", volume, found, err)
	}
}
