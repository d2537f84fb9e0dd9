package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/test/actors"
)

// dust is how long it may take to settle after the last fault: a few times what the
// CSI sidecars wait at most before they try again what failed.
const (
	dust         = 3 * time.Minute
	dustInterval = 2 * time.Second
)

// holdings are all that refers to volumes, in all compute clusters.
type holdings struct {
	// owners are the subjects by the handle.
	owners map[string]string
	// unsettled is what is still to come or to go.
	unsettled []string
	// loot is what attacks have left.
	loot []string
}

// orphans compares the storage cluster with what refers to it.
type orphans struct {
	admins  map[string]*actors.ClusterAdmin
	owners  *owners
	tenants *tenants

	none, lost, stolen *check
}

// settle waits until nothing is to come or to go any more, and judges then.
func (o *orphans) settle(ctx context.Context) {
	var left []string
	var failure error
	_ = wait.PollUntilContextTimeout(ctx, dustInterval, dust, true, func(ctx context.Context) (settled bool, _ error) {
		left, failure = o.left(ctx)
		return len(left) == 0 && failure == nil, nil
	})
	if failure != nil {
		o.none.broken("what there is cannot be read: %v", failure)
	}
	for _, what := range left {
		o.none.broken("%s", what)
	}
	o.judge(ctx)
}

// left is all that is unsettled, and the volumes that nothing refers to.
func (o *orphans) left(ctx context.Context) ([]string, error) {
	held, err := o.holdings(ctx)
	if err != nil {
		return nil, err
	}
	volumes, err := o.owners.look(ctx)
	if err != nil {
		return nil, err
	}
	return append(held.unsettled, o.unheld(held, volumes)...), nil
}

// unheld are the volumes that nothing refers to. Those that the storage cluster made
// twice are counted apart.
func (o *orphans) unheld(held holdings, volumes []actors.Volume) []string {
	var orphans []string
	o.owners.doubles.left = 0
	for _, v := range volumes {
		if _, ok := held.owners[v.ID]; !ok && o.owners.doubles.is(v) {
			o.owners.doubles.left++
		} else if !ok {
			orphans = append(orphans, fmt.Sprintf("nothing refers to volume %s (%s) of %s, claim %s/%s", v.ID, v.Name, v.Owner, v.Namespace, v.Claim))
		} else {
			o.none.held()
		}
	}
	return orphans
}

// judge looks for volumes that are gone, and for what is another's.
func (o *orphans) judge(ctx context.Context) {
	held, err := o.holdings(ctx)
	if err != nil {
		o.lost.broken("what there is cannot be read: %v", err)
		return
	}
	volumes, err := o.owners.look(ctx)
	if err != nil {
		o.lost.broken("the storage cluster cannot be read: %v", err)
		return
	}
	is := map[string]actors.Volume{}
	for _, v := range volumes {
		is[v.ID] = v
	}
	for handle, owner := range held.owners {
		switch v, found := is[handle]; {
		case !found:
			o.lost.broken("volume %s of %s is not there", handle, owner)
		case v.Owner != owner:
			o.owners.owned.broken("volume %s belongs to %s, and what refers to it is of %s", v.Name, v.Owner, owner)
		default:
			o.lost.held()
		}
	}
	for handle, team := range o.tenants.vaults {
		if v, found := is[handle]; !found || v.Owner != team.Subject() {
			o.lost.broken("the vault of %s is not there, or another's", team.Subject())
		}
	}
	for _, what := range held.loot {
		o.stolen.broken("an attack left %s", what)
	}
	o.stolen.held()
}

func (o *orphans) holdings(ctx context.Context) (holdings, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	all := holdings{owners: map[string]string{}}
	for _, name := range clusterNames {
		if err := all.add(ctx, o.admins[name]); err != nil {
			return all, err
		}
	}
	return all, nil
}

// add takes in what one cluster has.
func (h *holdings) add(ctx context.Context, admin *actors.ClusterAdmin) error {
	var (
		namespaces corev1.NamespaceList
		claims     corev1.PersistentVolumeClaimList
		volumes    corev1.PersistentVolumeList
		contents   snapshotv1.VolumeSnapshotContentList
		snapshots  snapshotv1.VolumeSnapshotList
		classes    storagev1.StorageClassList
	)
	for _, list := range []client.ObjectList{&namespaces, &claims, &volumes, &contents, &snapshots, &classes} {
		if err := admin.List(ctx, list); err != nil {
			return errors.Join(errors.New("list what "+admin.Compute.Name+" has"), err)
		}
	}
	where := " of " + admin.Compute.Name
	unsettled := func(o client.Object, what string) {
		h.unsettled = append(h.unsettled, what+" "+o.GetNamespace()+"/"+o.GetName()+where)
	}
	subjects := map[string]string{}
	for i := range namespaces.Items {
		ns := &namespaces.Items[i]
		subjects[ns.Name] = (&actors.Team{Namespace: ns, Admin: admin}).Subject()
		if !ns.DeletionTimestamp.IsZero() {
			unsettled(ns, "terminating namespace")
		}
	}
	for i := range claims.Items {
		c := &claims.Items[i]
		h.seek(c, "claim"+where)
		if c.Status.Phase != corev1.ClaimBound || !c.DeletionTimestamp.IsZero() {
			unsettled(c, string(c.Status.Phase)+" claim")
		}
	}
	for i := range volumes.Items {
		v := &volumes.Items[i]
		h.seek(v, "volume"+where)
		if v.Status.Phase != corev1.VolumeBound || !v.DeletionTimestamp.IsZero() {
			unsettled(v, string(v.Status.Phase)+" volume")
		}
		if v.Spec.CSI != nil && v.Spec.ClaimRef != nil {
			h.owners[v.Spec.CSI.VolumeHandle] = subjects[v.Spec.ClaimRef.Namespace]
		}
	}
	for i := range snapshots.Items {
		s := &snapshots.Items[i]
		if s.Status == nil || s.Status.ReadyToUse == nil || !*s.Status.ReadyToUse || !s.DeletionTimestamp.IsZero() {
			unsettled(s, "unready snapshot")
		}
	}
	for i := range contents.Items {
		c := &contents.Items[i]
		h.seek(c, "snapshot content"+where)
		if c.Status == nil || c.Status.SnapshotHandle == nil || !c.DeletionTimestamp.IsZero() {
			unsettled(c, "unready snapshot content")
			continue
		}
		h.owners[*c.Status.SnapshotHandle] = subjects[c.Spec.VolumeSnapshotRef.Namespace]
	}
	for i := range classes.Items {
		h.seek(&classes.Items[i], "class"+where)
	}
	return nil
}

// seek notes what an attack has left.
func (h *holdings) seek(o client.Object, what string) {
	if strings.HasPrefix(o.GetName(), loot) {
		h.loot = append(h.loot, what+" "+o.GetNamespace()+"/"+o.GetName())
	}
}
