package plugin

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/test/actors"
)

// usable does with every claim of a team what a team does: it mounts it, has it
// grow, makes a clone and deletes both. Each call must be the team's own: the
// shared Secret is gone by then.
func (f *former) usable(ctx context.Context, storage *actors.StorageAdmin, team *actors.Team) error {
	for _, name := range []string{"data", "marked", "old", "open", "copy"} {
		if err := f.usableClaim(ctx, storage, team, name); err != nil {
			return fmt.Errorf("claim %s/%s: %w", team.Namespace.Name, name, err)
		}
	}
	// What was a snapshot before still restores, and goes.
	if _, err := team.MakeBound(ctx, team.Claim("restored", sharedClass, actors.RestoredFrom("nightly"))); err != nil {
		return err
	}
	return team.DeleteSnapshot(ctx, "nightly")
}

func (f *former) usableClaim(ctx context.Context, storage *actors.StorageAdmin, team *actors.Team, name string) error {
	pv, err := team.Volume(ctx, name)
	if err != nil {
		return err
	}
	if pv.Spec.CSI == nil {
		return fmt.Errorf("its volume %s is not a csi one", pv.Name)
	}
	if policy := pv.Spec.PersistentVolumeReclaimPolicy; policy != corev1.PersistentVolumeReclaimDelete {
		return fmt.Errorf("the reclaim policy of its volume is %s", policy)
	}
	volume, found, err := storage.Volume(ctx, pv.Spec.CSI.VolumeHandle)
	if err != nil || !found || volume.Owner != team.Subject() {
		return fmt.Errorf("its volume is owned by %q (found %v, %w)", volume.Owner, found, err)
	}
	if err := f.admin.Mount(ctx, pv.Spec.CSI, pv.Spec.CSI.VolumeAttributes); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	if err := f.grow(ctx, team, name); err != nil {
		return err
	}
	clone := "clone-of-" + name
	class := sharedClass
	handles, err := team.MakeBound(ctx, team.Claim(clone, class, actors.CloneOf("", name), larger))
	if err != nil {
		return err
	}
	if err := f.delete(ctx, storage, team, clone, handles[0]); err != nil {
		return err
	}
	if name == "data" {
		return nil // the snapshot is of it
	}
	return f.delete(ctx, storage, team, name, pv.Spec.CSI.VolumeHandle)
}

func larger(claim *corev1.PersistentVolumeClaim) {
	claim.Spec.Resources.Requests[corev1.ResourceStorage] = resource.MustParse("2Gi")
}

// grow has a claim grow, by csi-resizer.
func (f *former) grow(ctx context.Context, team *actors.Team, name string) error {
	key := client.ObjectKey{Namespace: team.Namespace.Name, Name: name}
	var claim corev1.PersistentVolumeClaim
	if err := team.Get(ctx, key, &claim); err != nil {
		return fmt.Errorf("grow: %w", err)
	}
	was := claim.DeepCopy()
	larger(&claim)
	if err := team.Patch(ctx, &claim, client.MergeFrom(was)); err != nil {
		return fmt.Errorf("grow: %w", err)
	}
	err := actors.Eventually(ctx, func(ctx context.Context) (bool, error) {
		var pv corev1.PersistentVolume
		err := f.admin.Get(ctx, client.ObjectKey{Name: claim.Spec.VolumeName}, &pv)
		return pv.Spec.Capacity.Storage().Cmp(resource.MustParse("2Gi")) >= 0, err
	})
	if err != nil {
		return fmt.Errorf("it does not grow: %w", err)
	}
	return nil
}

// delete deletes a claim and waits until its volume is gone from the storage
// cluster.
func (f *former) delete(ctx context.Context, storage *actors.StorageAdmin, team *actors.Team, name, handle string) error {
	claim := team.Claim(name, sharedClass)
	if err := team.Delete(ctx, claim); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	err := actors.Eventually(ctx, func(ctx context.Context) (bool, error) {
		if err := team.Get(ctx, client.ObjectKeyFromObject(claim), claim); !apierrors.IsNotFound(err) {
			return false, err
		}
		_, found, err := storage.Volume(ctx, handle)
		return !found, err
	})
	if err != nil {
		return fmt.Errorf("it was deleted, and its volume stays: %w", err)
	}
	return nil
}
