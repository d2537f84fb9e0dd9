package storage

import (
	"context"
	"errors"
	"fmt"

	"github.com/libopenstorage/openstorage/api"
	"github.com/libopenstorage/openstorage/pkg/auth"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Access is what a tenant wants to do with a volume.
type Access = api.Ownership_AccessType

// Read suffices to clone and snapshot a volume, Write to mount it.
const (
	Read  = api.Ownership_Read
	Write = api.Ownership_Write
)

// ErrDenied says that the storage cluster does not let the tenant use the
// volume: it is another's, nobody's or not there. Which of these, the tenant
// must not learn.
var ErrDenied = errors.New("the storage cluster does not let this tenant use the volume")

// Check asks the storage cluster, with a token of the tenant's subject, whether
// that subject may use the volume. A volume that nobody owns is open to
// everybody and therefore nobody's to take: it is denied. The error wraps
// ErrDenied, or is the failure to get an answer.
func (c *Client) Check(ctx context.Context, token, subject, handle string, want Access) error {
	ctx, cancel := context.WithTimeout(WithToken(ctx, token), callTimeout)
	defer cancel()
	resp, err := api.NewOpenStorageVolumeClient(c.conn).Inspect(ctx, &api.SdkVolumeInspectRequest{VolumeId: handle})
	switch status.Code(err) {
	case codes.OK:
	case codes.NotFound, codes.PermissionDenied:
		return fmt.Errorf("%w (%s)", ErrDenied, status.Code(err))
	default:
		return fmt.Errorf("ask the storage cluster about a volume: %w", err)
	}
	if !Permits(resp.GetVolume().GetSpec().GetOwnership(), subject, want) {
		return ErrDenied
	}
	return nil
}

// Permits reports whether a volume of that ownership is the subject's to use. What
// nobody owns is nobody's to take.
func Permits(ownership *api.Ownership, subject string, want Access) bool {
	user := &auth.UserInfo{Username: subject, Claims: auth.Claims{Groups: []string{subject}}}
	return ownership != nil && ownership.HasAnOwner() && ownership.IsPermitted(user, want)
}
