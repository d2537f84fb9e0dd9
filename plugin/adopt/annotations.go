package adopt

import (
	"context"
	"errors"
	"fmt"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// What names Secrets by annotations alone is changed where it is.

const (
	contentKind = "VolumeSnapshotContent"
	claimKind   = "PersistentVolumeClaim"
)

// Contents has VolumeSnapshotContents of our drivers be deleted with the token of
// their snapshot's namespace, and say whose they are.
func (a *Adopter) Contents(ctx context.Context, which Selection) error {
	if err := which.validate(); err != nil {
		return err
	}
	var contents snapshotv1.VolumeSnapshotContentList
	if err := a.client.List(ctx, &contents); err != nil {
		return fmt.Errorf("list VolumeSnapshotContents: %w", err)
	}
	var p plan
	named := namesLeft(which)
	for i := range contents.Items {
		content := &contents.Items[i]
		if !which.has(content.Name, content.Spec.VolumeSnapshotRef.Namespace) {
			continue
		}
		delete(named, content.Name)
		switch {
		case !a.cfg.Installation.Rules.Drivers.IsCSI(content.Spec.Driver):
			p.add(change{}, false, which.notOurs(contentKind, content.Name))
		case content.DeletionTimestamp == nil:
			p.add(a.content(ctx, content))
		}
	}
	if err := notFound(contentKind, named, which.Namespace); err != nil {
		return err
	}
	return a.carryOut(ctx, p)
}

func (a *Adopter) content(ctx context.Context, content *snapshotv1.VolumeSnapshotContent) (change, bool, error) {
	namespace := content.Spec.VolumeSnapshotRef.Namespace
	left, err := a.leftBehind(ctx, namespace, content.Annotations)
	if err != nil || left {
		return change{}, false, err
	}
	origin, err := a.origin(ctx, namespace)
	if err != nil {
		return change{}, false, err
	}
	adopted := content.DeepCopy()
	adopted.Annotations = annotated(content.Annotations, a.cfg.Installation.Layout.ContentAnnotations(namespace), origin)
	return a.update(ctx, contentKind, content, adopted)
}

// origin says whose what is for a namespace is.
func (a *Adopter) origin(ctx context.Context, namespace string) (map[string]string, error) {
	var ns corev1.Namespace
	if err := a.client.Get(ctx, types.NamespacedName{Name: namespace}, &ns); err != nil {
		return nil, fmt.Errorf("look at namespace %s: %w", namespace, err)
	}
	return tenancy.Of(ns.Name, string(ns.UID), ns.Labels).Origin(), nil
}

// Claims has claims that name another Secret than the token of their namespace
// name that: Stork reads it.
func (a *Adopter) Claims(ctx context.Context, which Selection) error {
	if err := which.validate(); err != nil {
		return err
	}
	if !which.All && which.Namespace == "" {
		return errors.New("want the namespace of the claims: -n")
	}
	var claims corev1.PersistentVolumeClaimList
	if err := a.client.List(ctx, &claims); err != nil {
		return fmt.Errorf("list PersistentVolumeClaims: %w", err)
	}
	var p plan
	named := namesLeft(which)
	for i := range claims.Items {
		claim := &claims.Items[i]
		if !which.has(claim.Name, claim.Namespace) {
			continue
		}
		delete(named, claim.Name)
		pairs := a.cfg.Installation.Layout.ClaimAnnotations(claim.Namespace)
		if !namesAny(claim.Annotations, pairs) {
			continue // what lacks them is for the driver to find by its class
		}
		adopted := claim.DeepCopy()
		adopted.Annotations = annotated(claim.Annotations, pairs, nil)
		p.add(a.update(ctx, claimKind, claim, adopted))
	}
	if err := notFound(claimKind, named, which.Namespace); err != nil {
		return err
	}
	return a.carryOut(ctx, p)
}

// namesAny reports whether the annotations hold a key of a pair.
func namesAny(annotations map[string]string, pairs []tenancy.Pair) bool {
	for _, pair := range pairs {
		if annotations[pair.NameKey] != "" || annotations[pair.NamespaceKey] != "" {
			return true
		}
	}
	return false
}
