package attacks

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"os"
	"strings"
	"sync"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/actors"
)

// sharedTenant is the label of the tenant that has two namespaces.
const sharedTenant = "sharing-tenant"

//go:embed testdata/crds.yaml
var crds []byte

// scene is what every case finds: tenants with volumes and snapshots on the
// real storage cluster. It is made once.
type scene struct {
	admin, elsewhere *actors.ClusterAdmin

	attacker, victim *actors.Team
	// sharing are the two namespaces of one labelled tenant.
	sharing [2]*actors.Team

	// values of the placeholders.
	values  map[string]string
	clients map[string]dynamic.Interface
	mapper  meta.RESTMapper
}

var theScene = sync.OnceValues(func() (*scene, error) { return setScene(context.Background()) })

func setScene(ctx context.Context) (*scene, error) {
	s := &scene{admin: stage.Admins[0], elsewhere: stage.Admins[1], values: map[string]string{}}
	for _, admin := range stage.Admins {
		if err := admin.Compute.Apply(ctx, crds); err != nil {
			return nil, err
		}
		if err := giveRights(ctx, admin); err != nil {
			return nil, err
		}
	}
	if err := s.makeTeams(ctx); err != nil {
		return nil, err
	}
	if err := s.makeClients(); err != nil {
		return nil, err
	}
	if err := s.waitForKinds(ctx); err != nil {
		return nil, err
	}
	group, ctx := errgroup.WithContext(ctx)
	var writing sync.Mutex
	for prefix, team := range map[string]*actors.Team{"OWN": s.attacker, "VICTIM": s.victim, "SHARED": s.sharing[0]} {
		group.Go(func() error {
			values, err := equip(ctx, team, prefix)
			writing.Lock()
			defer writing.Unlock()
			maps.Copy(s.values, values)
			return err
		})
	}
	return s, group.Wait()
}

func (s *scene) makeTeams(ctx context.Context) (err error) {
	label := func(ns *corev1.Namespace) { ns.Labels = map[string]string{tenancy.TenantLabel: sharedTenant} }
	for _, t := range []struct {
		team    **actors.Team
		name    string
		changes []func(*corev1.Namespace)
	}{
		{&s.attacker, "corpus-attacker", nil},
		{&s.victim, "corpus-victim-bank", nil},
		{&s.sharing[0], "corpus-sharing-a", []func(*corev1.Namespace){label}},
		{&s.sharing[1], "corpus-sharing-b", []func(*corev1.Namespace){label}},
	} {
		if *t.team, err = s.admin.NewTeam(ctx, t.name, t.changes...); err != nil {
			return err
		}
	}
	if err := alsoAdminOf(ctx, s.sharing[0].User, s.sharing[1]); err != nil {
		return err
	}
	// In the other cluster a namespace of the victim's name is someone else's.
	twin, err := s.elsewhere.NewTeam(ctx, s.victim.Namespace.Name)
	if err != nil {
		return err
	}
	tokens := s.admin.Layout.TokenNamespace
	for name, value := range map[string]string{
		"ATTACKER": s.attacker.Namespace.Name, "ATTACKER_UID": string(s.attacker.Namespace.UID),
		"VICTIM": s.victim.Namespace.Name, "VICTIM_UID": string(s.victim.Namespace.UID),
		"TWIN": twin.Namespace.Name, "TWIN_UID": string(twin.Namespace.UID),
		"SHARING_A": s.sharing[0].Namespace.Name, "SHARING_B": s.sharing[1].Namespace.Name, "SHARED_TENANT": sharedTenant,
		"TOKENS": tokens,
		"CLASS":  actors.CSIClass, "INTREE_CLASS": actors.InTreeClass, "SNAPSHOT_CLASS": actors.SnapshotClass,
		"DRIVER": tenancy.CSIDriver,
	} {
		s.values[name] = value
	}
	for prefix, team := range map[string]*actors.Team{"OWN": s.attacker, "VICTIM": s.victim, "SHARING_A": s.sharing[0], "SHARING_B": s.sharing[1]} {
		s.values[prefix+"_SECRET"] = s.admin.Layout.TokenSecret(team.Namespace.Name).Name
	}
	return nil
}

// equip gives a team two bound claims and a snapshot of the first, and returns
// their names under the prefix, e.g. VICTIM_CLAIM, VICTIM_SNAPSHOT_HANDLE.
func equip(ctx context.Context, team *actors.Team, prefix string) (map[string]string, error) {
	values := map[string]string{}
	// Names that no denial may tell, so they are no words of any language.
	claim, second, snapshot := "ledger-of-"+team.Namespace.Name, "vault-of-"+team.Namespace.Name, "night-of-"+team.Namespace.Name
	if _, err := team.MakeBound(ctx, team.Claim(claim, actors.CSIClass), team.Claim(second, actors.CSIClass)); err != nil {
		return nil, err
	}
	if err := team.Snapshot(ctx, snapshot, actors.SnapshotClass, claim); err != nil {
		return nil, err
	}
	for suffix, name := range map[string]string{"": claim, "_2": second} {
		volume, err := team.Volume(ctx, name)
		if err != nil {
			return nil, err
		}
		values[prefix+"_CLAIM"+suffix] = name
		values[prefix+"_CLAIM_UID"+suffix] = string(volume.Spec.ClaimRef.UID)
		values[prefix+"_PV"+suffix] = volume.Name
		values[prefix+"_VOLUME"+suffix] = volume.Spec.CSI.VolumeHandle
	}
	var taken snapshotv1.VolumeSnapshot
	if err := team.Get(ctx, types.NamespacedName{Namespace: team.Namespace.Name, Name: snapshot}, &taken); err != nil {
		return nil, fmt.Errorf("snapshot %s: %w", snapshot, err)
	}
	var content snapshotv1.VolumeSnapshotContent
	if err := team.Admin.Get(ctx, client.ObjectKey{Name: *taken.Status.BoundVolumeSnapshotContentName}, &content); err != nil {
		return nil, fmt.Errorf("content of snapshot %s: %w", snapshot, err)
	}
	values[prefix+"_SNAPSHOT"] = snapshot
	values[prefix+"_SNAPSHOT_UID"] = string(taken.UID)
	values[prefix+"_CONTENT"] = content.Name
	values[prefix+"_SNAPSHOT_HANDLE"] = *content.Status.SnapshotHandle
	return values, nil
}

// waitForKinds waits until the API server serves every CRD, and reads the kinds.
func (s *scene) waitForKinds(ctx context.Context) error {
	wanted := strings.Count(string(crds), "\nkind: CustomResourceDefinition")
	return actors.Eventually(ctx, func(context.Context) (bool, error) {
		groups, err := restmapper.GetAPIGroupResources(s.admin.Compute.Client.Discovery())
		if err != nil {
			return false, err
		}
		found := 0
		for _, group := range groups {
			for _, resources := range group.VersionedResources {
				for _, resource := range resources {
					if strings.Contains(string(crds), "kind: "+resource.Kind+"\n") && strings.Contains(string(crds), "group: "+group.Group.Name+"\n") {
						found++
					}
				}
			}
		}
		s.mapper = restmapper.NewDiscoveryRESTMapper(groups)
		return found >= wanted, nil
	})
}

// secrets are what no denial may tell the attacker.
func (s *scene) secrets() map[string]string {
	secrets := maps.Clone(s.values)
	maps.DeleteFunc(secrets, func(name, _ string) bool { return !strings.HasPrefix(name, "VICTIM") })
	return secrets
}

func readFile(path string) (string, error) {
	raw, err := os.ReadFile(path)
	return string(raw), err
}
