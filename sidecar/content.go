package sidecar

import (
	"context"
	"fmt"
	"time"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// reconcileContent keeps a token for looking at a pre-provisioned snapshot
// content in a Secret named by the content, for as long as the content is there.
func (c *controller) reconcileContent(ctx context.Context, k key) (time.Duration, error) {
	target := slot{ref: c.layout.ContentSecret(k.name), state: content}
	secret, err := c.tokens.get(target.ref)
	if err != nil {
		return 0, err
	}
	object := c.references.content(k.name)
	if object == nil || object.Spec.Source.SnapshotHandle == nil {
		if secret == nil || !c.references.complete() {
			return 0, nil
		}
		return 0, c.remove(ctx, secret)
	}
	ns, err := c.namespace(object.Spec.VolumeSnapshotRef.Namespace)
	if err != nil {
		return 0, err
	}
	tenant, ok := contentReferrer(object).origin()
	if !ok {
		if !stays(ns) {
			return 0, nil // nobody can say whose it is; what is there runs out
		}
		tenant = tenantOf(ns)
	}
	if stays(ns) && !c.selected.takes(ns) {
		return 0, nil
	}
	if len(target.ref.Name) > validation.DNS1123SubdomainMaxLength {
		return 0, fmt.Errorf("the name of the snapshot content is too long by %d characters for a Secret to be named after it",
			len(target.ref.Name)-validation.DNS1123SubdomainMaxLength)
	}
	target.tenant = tenant
	target.owner = &metav1.OwnerReference{
		APIVersion: snapshotv1.SchemeGroupVersion.String(), Kind: "VolumeSnapshotContent", Name: object.Name, UID: object.UID,
	}
	return c.refresh(ctx, k, target, secret)
}

// contentsOf are the names of the pre-provisioned contents for a namespace.
func (s *references) contentsOf(namespace string) []string {
	found, _ := s.find(byNamespace, namespace) // an index that is there
	var names []string
	for _, r := range found {
		if c, ok := r.object.(*snapshotv1.VolumeSnapshotContent); ok && c.Spec.Source.SnapshotHandle != nil {
			names = append(names, c.Name)
		}
	}
	return names
}

// content is the snapshot content of that name, nil if there is none of our
// driver.
func (s *references) content(name string) *snapshotv1.VolumeSnapshotContent {
	contents := s.contents.Load()
	if contents == nil {
		return nil
	}
	object, found, err := (*contents).GetByKey(name)
	if err != nil || !found {
		return nil
	}
	if _, ours := referrerOf(object); !ours {
		return nil
	}
	c, _ := object.(*snapshotv1.VolumeSnapshotContent)
	return c
}
