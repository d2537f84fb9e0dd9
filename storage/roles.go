package storage

import (
	"context"
	"fmt"

	"github.com/libopenstorage/openstorage/api"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Names of the roles that Bulkhead's tokens carry on the storage cluster.
const (
	// TenantRole is all that the CSI driver needs for a tenant, and no more:
	// system.user can delete other tenants' schedules and cloud backups.
	TenantRole = "bulkhead.tenant"
	// InspectRole can look at a volume that the tenant may read.
	InspectRole = "bulkhead.inspect"

	guestRole = "system.guest"
)

// role rules: service and API names in lower case, as openstorage matches them
// (pkg/role/sdkserviceapi.go).
func tenantRules() []*api.SdkRule {
	return []*api.SdkRule{
		{Services: []string{"volume"}, Apis: []string{
			"create", "clone", "delete", "inspect", "update", "snapshotcreate",
			"enumeratewithfilters", "inspectwithfilters", "snapshotenumeratewithfilters",
		}},
		{Services: []string{"mountattach"}, Apis: []string{"*"}},
		{Services: []string{"identity"}, Apis: []string{"*"}},
	}
}

func inspectRules() []*api.SdkRule {
	return []*api.SdkRule{{Services: []string{"volume"}, Apis: []string{"inspect"}}}
}

// nothing denies every call; openstorage wants at least one rule in a role.
func nothing() []*api.SdkRule {
	return []*api.SdkRule{{Services: []string{"!*"}, Apis: []string{"!*"}}}
}

// EnsureRoles makes the tenant and inspect roles what this version needs. It is
// safe to repeat. The context must carry a storage admin's token.
func (c *Client) EnsureRoles(ctx context.Context) error {
	for name, rules := range map[string][]*api.SdkRule{TenantRole: tenantRules(), InspectRole: inspectRules()} {
		if err := c.ensureRole(ctx, &api.SdkRole{Name: name, Rules: rules}); err != nil {
			return err
		}
	}
	return nil
}

// DisableGuest takes every right from calls without a token. It is safe to
// repeat. The context must carry a storage admin's token.
func (c *Client) DisableGuest(ctx context.Context) error {
	return c.updateRole(ctx, &api.SdkRole{Name: guestRole, Rules: nothing()})
}

func (c *Client) ensureRole(ctx context.Context, role *api.SdkRole) error {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := api.NewOpenStorageRoleClient(c.conn).Create(call, &api.SdkRoleCreateRequest{Role: role})
	if status.Code(err) == codes.AlreadyExists {
		return c.updateRole(ctx, role)
	}
	if err != nil {
		return fmt.Errorf("create role %s: %w", role.GetName(), err)
	}
	return nil
}

func (c *Client) updateRole(ctx context.Context, role *api.SdkRole) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if _, err := api.NewOpenStorageRoleClient(c.conn).Update(ctx, &api.SdkRoleUpdateRequest{Role: role}); err != nil {
		return fmt.Errorf("update role %s: %w", role.GetName(), err)
	}
	return nil
}
