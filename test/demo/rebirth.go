package main

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/test/actors"
)

func (s *story) rebirth(ctx context.Context) error {
	old := s.shop
	kept, err := s.keepOne(ctx)
	if err != nil {
		return err
	}
	s.say("$ kubectl delete namespace shop   # in k14c1; one of its volumes is to be retained")
	if err := s.first.Delete(ctx, old.Namespace); err != nil {
		return fmt.Errorf("delete the namespace: %w", err)
	}
	if err := s.need("the namespace is gone", gone(ctx, s.first, old.Namespace)); err != nil {
		return err
	}
	s.check("its volumes vanish from the storage cluster, all but the retained one", s.onlyLeft(ctx, old, kept))
	retired := s.first.Layout.RetiredSecret(old.Tenant().UID)
	var secret corev1.Secret
	s.check("its token is retired: Secret "+retired.String(),
		s.first.Get(ctx, types.NamespacedName{Namespace: retired.Namespace, Name: retired.Name}, &secret))

	s.say("$ kubectl create namespace shop   # the name is free, so somebody else takes it")
	reborn, err := s.first.NewTeam(ctx, old.Namespace.Name)
	if err != nil {
		return err
	}
	handles, err := reborn.MakeBound(ctx, reborn.Claim("orders", actors.CSIClass))
	if err := s.need("the new shop's claim is Bound", err); err != nil {
		return err
	}
	s.check("its volume is the new namespace's, not the old one's", s.ownedBy(ctx, handles[0], reborn))
	if reborn.Subject() == old.Subject() {
		s.fail("the new shop is another owner", errors.New("it has the subject of the old one"))
	}
	token, err := reborn.Token(ctx)
	if err != nil {
		return err
	}
	bearer, err := actors.NewBearer(s.env.Storage, token)
	if err != nil {
		return err
	}
	s.refusedByStorage("it cannot look at the volume that the old shop left", bearer.Inspect(ctx, kept))
	visible, err := bearer.Visible(ctx)
	if err == nil && (len(visible) != 1 || visible[0] != handles[0]) {
		err = fmt.Errorf("it sees %v, want only %s", visible, handles[0])
	}
	s.check("it sees its own volume and nothing else", err)
	s.refusedByWebhook("and no PV brings the old volume to it", "BH-C1",
		s.first.Create(ctx, actors.StaticVolume("inherited", kept, reborn.Namespace.Name, "inherited")))
	return nil
}

// keepOne marks the volume of shop's claim "images" to be retained, and returns
// its handle.
func (s *story) keepOne(ctx context.Context) (handle string, err error) {
	volume, err := s.shop.Volume(ctx, "images")
	if err != nil {
		return "", err
	}
	patch := client.MergeFrom(volume.DeepCopy())
	volume.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimRetain
	if err := s.first.Patch(ctx, volume, patch); err != nil {
		return "", fmt.Errorf("retain PV %s: %w", volume.Name, err)
	}
	return volume.Spec.CSI.VolumeHandle, nil
}

// onlyLeft waits until the storage cluster has no volume of the team but one.
func (s *story) onlyLeft(ctx context.Context, team *actors.Team, kept string) error {
	var left []string
	err := actors.Eventually(ctx, func(ctx context.Context) (bool, error) {
		volumes, err := s.storage.Volumes(ctx)
		left = nil
		for _, v := range volumes {
			if v.Owner == team.Subject() {
				left = append(left, v.ID)
			}
		}
		return len(left) == 1 && left[0] == kept, err
	})
	if err != nil {
		return fmt.Errorf("%d volumes are left: %w", len(left), err)
	}
	return nil
}

func gone(ctx context.Context, admin *actors.ClusterAdmin, object client.Object) error {
	return actors.Eventually(ctx, func(ctx context.Context) (bool, error) {
		err := admin.Get(ctx, client.ObjectKeyFromObject(object), object.DeepCopyObject().(client.Object)) //nolint:forcetypeassert // a copy has the type of its original
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		return false, err
	})
}
