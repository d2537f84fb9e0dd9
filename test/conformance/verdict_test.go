package conformance

import (
	"context"
	"fmt"
	"strings"

	"github.com/libopenstorage/openstorage/api"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// verdict is what the storage server made of a call. Where it refuses, the
// gRPC status and its text show which of its gates did (openstorage
// api/server/sdk/server_interceptors.go).
type verdict string

const (
	accepted verdict = "accepted"
	// refusedUnheard: it is no token, or of no issuer that is trusted.
	refusedUnheard verdict = "refused before any key was tried (Unauthenticated)"
	// refusedToken: its issuer is trusted, but the verifier of that issuer said no.
	refusedToken verdict = "refused by the issuer's verifier (PermissionDenied)"
	// refusedRole: the token is good, but no role of it opens the call.
	refusedRole verdict = "refused for lack of a role (PermissionDenied)"
	// refusedVolume: the call is open to the token, the volume is another's.
	refusedVolume verdict = "refused for not being the owner (PermissionDenied)"
	// refusedGuest: there was no token, and guests may do nothing.
	refusedGuest verdict = "refused as a guest (PermissionDenied)"
)

// judge reads the verdict off the error of a call. It fails for an error that
// is no refusal, such as a crash, a lost connection or a bad request.
func judge(err error) (verdict, error) {
	text := status.Convert(err).Message()
	switch code := status.Code(err); {
	case code == codes.OK:
		return accepted, nil
	case code == codes.Unauthenticated:
		return refusedUnheard, nil
	case code != codes.PermissionDenied:
		return "", fmt.Errorf("neither accepted nor refused: %s: %s", code, text)
	case text == "Unable to authenticate token":
		return refusedToken, nil
	case text == "Access denied without authentication token":
		return refusedGuest, nil
	case strings.HasPrefix(text, "Access to /openstorage.api."):
		return refusedRole, nil
	case strings.HasPrefix(text, "Access denied to volume"):
		return refusedVolume, nil
	default:
		return "", fmt.Errorf("refused by an unknown gate: %s", text)
	}
}

// question is a call that a token is put to the test with, and what makes a
// good token of the owner one that may ask it.
type question struct {
	ask      func(context.Context) error
	entitled change
}

// looks is at the owner's volume.
var looks = question{
	ask: func(ctx context.Context) error {
		_, err := api.NewOpenStorageVolumeClient(client.Conn()).Inspect(ctx, &api.SdkVolumeInspectRequest{VolumeId: ledger})
		return err
	},
	entitled: all(),
}

// listsRoles is what an admin's role alone opens.
var listsRoles = question{
	ask: func(ctx context.Context) error {
		_, err := api.NewOpenStorageRoleClient(client.Conn()).Enumerate(ctx, &api.SdkRoleEnumerateRequest{})
		return err
	},
	entitled: all(claim("roles", []string{"system.admin"}), claim("groups", []string{"*"})),
}

// put asks with the values of the authorization header, none of them for a
// guest.
func (q question) put(ctx context.Context, authorization ...string) (verdict, error) {
	return judge(q.ask(metadata.NewOutgoingContext(ctx, metadata.MD{"authorization": authorization})))
}

func bearer(token string) []string { return []string{"bearer " + token} }
