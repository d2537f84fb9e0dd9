package conformance

import (
	"context"
	"strings"
	"testing"

	"github.com/libopenstorage/openstorage/api"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-dev/bulkhead/storage"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// A token needs no key and no issuer to end the storage server: openstorage
// reads the payload null as claims that are a nil pointer, and takes their
// issuer (pkg/auth/token.go, TokenIssuer), outside of any recover. It is the
// reason why nothing but tokens of the issuer may get to the storage cluster,
// be it over the network or in a Secret that the CSI driver is made to read.
// A server of its own is sacrificed to it.
func TestAPayloadOfNullEndsTheStorageServer(t *testing.T) {
	env, err := cluster.New(cluster.Config{Dir: t.TempDir(), Binaries: binaries})
	if err != nil {
		t.Fatal(err)
	}
	defer env.Stop()
	if err := env.StartStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	victim, err := env.Storage.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = victim.Close() }()
	ask := func(payload string) codes.Code {
		ctx, cancel := context.WithTimeout(t.Context(), callTimeout)
		defer cancel()
		ctx = storage.WithToken(ctx, encode([]byte("{}"))+"."+encode([]byte(payload))+".")
		_, err := api.NewOpenStorageIdentityClient(victim.Conn()).Version(ctx, &api.SdkIdentityVersionRequest{})
		return status.Code(err)
	}
	if got := ask("{}"); got != codes.Unauthenticated {
		t.Fatalf("a payload of {}: %s, want a refusal", got)
	}
	if got := ask("null"); got != codes.Unavailable {
		t.Errorf("a payload of null: %s, want a lost connection", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), callTimeout)
	defer cancel()
	select {
	case err := <-env.Failed():
		if !strings.HasPrefix(err.Error(), "storagecluster ended unasked") {
			t.Errorf("something else failed: %v", err)
		}
	case <-ctx.Done():
		t.Error("the storage server survived: openstorage has mended it, tell docs/threats.md")
	}
}
