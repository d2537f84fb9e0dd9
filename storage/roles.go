package storage

import (
	"context"
	"fmt"
	"slices"
	"strings"

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

func ourRoles() map[string][]*api.SdkRule {
	return map[string][]*api.SdkRule{TenantRole: tenantRules(), InspectRole: inspectRules()}
}

// nothing denies every call; openstorage wants at least one rule in a role.
func nothing() []*api.SdkRule {
	return []*api.SdkRule{{Services: []string{"!*"}, Apis: []string{"!*"}}}
}

// EnsureRoles makes the tenant and inspect roles what this version needs. It is
// safe to repeat. The context must carry a storage admin's token.
func (c *Client) EnsureRoles(ctx context.Context) error {
	for name, rules := range ourRoles() {
		if err := c.ensureRole(ctx, &api.SdkRole{Name: name, Rules: rules}); err != nil {
			return err
		}
	}
	return nil
}

// RoleDifference is how a role on the storage cluster differs from what this
// version needs, each as service/api.
type RoleDifference struct {
	// Absent is whether there is no such role; the rest is empty then.
	Absent bool
	// Surplus may be called and should not be, Missing the reverse.
	Surplus, Missing []string
}

// CompareRoles looks at the tenant and inspect roles and returns those that are
// not what EnsureRoles makes of them, by their names. The context must carry a
// storage admin's token.
func (c *Client) CompareRoles(ctx context.Context) (map[string]RoleDifference, error) {
	differences := map[string]RoleDifference{}
	for name, rules := range ourRoles() {
		there, err := c.role(ctx, name)
		if err != nil {
			return nil, err
		}
		if there == nil {
			differences[name] = RoleDifference{Absent: true}
			continue
		}
		is, want := calls(there.GetRules()), calls(rules)
		difference := RoleDifference{Surplus: without(is, want), Missing: without(want, is)}
		if len(difference.Surplus)+len(difference.Missing) > 0 {
			differences[name] = difference
		}
	}
	return differences, nil
}

// role returns nil where there is none of that name.
func (c *Client) role(ctx context.Context, name string) (*api.SdkRole, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	answer, err := api.NewOpenStorageRoleClient(c.conn).Inspect(ctx, &api.SdkRoleInspectRequest{Name: name})
	if status.Code(err) == codes.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at role %s: %w", name, err)
	}
	return answer.GetRole(), nil
}

// calls are all that rules name, as service/api in lower case.
func calls(rules []*api.SdkRule) map[string]bool {
	all := map[string]bool{}
	for _, rule := range rules {
		for _, service := range rule.GetServices() {
			for _, call := range rule.GetApis() {
				all[strings.ToLower(service+"/"+call)] = true
			}
		}
	}
	return all
}

// without are those of one set that are not in another, sorted.
func without(set, other map[string]bool) (rest []string) {
	for name := range set {
		if !other[name] {
			rest = append(rest, name)
		}
	}
	slices.Sort(rest)
	return rest
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
