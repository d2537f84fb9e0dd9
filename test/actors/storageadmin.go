// Package actors plays the people of the story on real clusters: the storage
// admin, the cluster admin, app teams, and the thief among them. Tests and the
// demo are written in their terms.
package actors

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/libopenstorage/openstorage/api"

	"github.com/bulkhead-dev/bulkhead/storage"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// StorageAdmin has every right on the storage cluster.
type StorageAdmin struct {
	storage *cluster.Storage
	client  *storage.Client
}

// NewStorageAdmin prepares a storage admin's client.
func NewStorageAdmin(s *cluster.Storage) (*StorageAdmin, error) {
	client, err := s.Dial()
	if err != nil {
		return nil, err
	}
	return &StorageAdmin{storage: s, client: client}, nil
}

// Volume is a volume as the storage cluster itself knows it.
type Volume struct {
	ID, Name string
	// Owner is the subject of the token that made it.
	Owner string
	// Namespace and Claim are what it was recorded for.
	Namespace, Claim string
	// Parent is the id of the volume that it is a clone or snapshot of.
	Parent string
}

// Volumes lists all volumes, ordered by owner and name.
func (a *StorageAdmin) Volumes(ctx context.Context) ([]Volume, error) {
	ctx, err := a.storage.AsAdmin(ctx)
	if err != nil {
		return nil, err
	}
	resp, err := api.NewOpenStorageVolumeClient(a.client.Conn()).InspectWithFilters(ctx, &api.SdkVolumeInspectWithFiltersRequest{})
	if err != nil {
		return nil, fmt.Errorf("list volumes: %w", err)
	}
	var volumes []Volume
	for _, v := range resp.GetVolumes() {
		labels := v.GetVolume().GetLocator().GetVolumeLabels()
		volumes = append(volumes, Volume{
			ID: v.GetVolume().GetId(), Name: v.GetVolume().GetLocator().GetName(),
			Owner:     v.GetVolume().GetSpec().GetOwnership().GetOwner(),
			Namespace: labels["namespace"], Claim: labels["pvc"],
			Parent: v.GetVolume().GetSource().GetParent(),
		})
	}
	slices.SortFunc(volumes, func(a, b Volume) int { return strings.Compare(a.Owner+a.Name, b.Owner+b.Name) })
	return volumes, nil
}

// Volume finds a volume by its id.
func (a *StorageAdmin) Volume(ctx context.Context, id string) (v Volume, found bool, err error) {
	volumes, err := a.Volumes(ctx)
	if err != nil {
		return Volume{}, false, err
	}
	i := slices.IndexFunc(volumes, func(v Volume) bool { return v.ID == id })
	if i < 0 {
		return Volume{}, false, nil
	}
	return volumes[i], true, nil
}

// Role returns the rules of a role of the storage cluster, one line each:
// "<services>: <apis>".
func (a *StorageAdmin) Role(ctx context.Context, name string) ([]string, error) {
	ctx, err := a.storage.AsAdmin(ctx)
	if err != nil {
		return nil, err
	}
	resp, err := api.NewOpenStorageRoleClient(a.client.Conn()).Inspect(ctx, &api.SdkRoleInspectRequest{Name: name})
	if err != nil {
		return nil, fmt.Errorf("role %s: %w", name, err)
	}
	var rules []string
	for _, r := range resp.GetRole().GetRules() {
		rules = append(rules, strings.Join(r.GetServices(), ",")+": "+strings.Join(r.GetApis(), " "))
	}
	return rules, nil
}
