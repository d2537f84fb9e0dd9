package webhook

import (
	"context"
	"fmt"
	"slices"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// ruleE3: a namespace joins or leaves a labelled tenant only by those who may
// assign both, and never while it has volumes or snapshots: they would stay with
// the old tenant (CVE-2022-46167 and CVE-2025-55205 are namespaces that moved
// themselves).
var ruleE3 = rule[*review[corev1.Namespace]]{id: "BH-E3", check: func(ctx context.Context, l *lookup, r *review[corev1.Namespace]) ([]Denial, error) {
	const field = "metadata.labels[" + tenancy.TenantLabel + "]"
	is, was := r.object.Labels[tenancy.TenantLabel], ""
	if r.old != nil {
		was = r.old.Labels[tenancy.TenantLabel]
	}
	if is == was {
		return nil, nil
	}
	var denials []Denial
	for _, tenant := range []string{is, was} {
		if tenant == "" {
			continue
		}
		may, err := l.mayAssign(ctx, r.user, tenant)
		if err != nil {
			return denials, err
		}
		if !may {
			denials = append(denials, unassignable.at(field))
			break // one reason, whichever tenant it is
		}
	}
	if r.old == nil {
		return denials, nil
	}
	holds, err := l.holdsVolumes(ctx, r.object.Name)
	if err == nil && !holds {
		holds, err = l.holdsSnapshots(ctx, r.object.Name)
	}
	if err != nil {
		return denials, err
	}
	if holds {
		denials = append(denials, Denial{
			Field:   field,
			Message: "the namespace has volumes or snapshots, and they would stay with the tenant that it leaves",
			Mend:    "make another namespace in that tenant, or delete the claims and snapshots and what they hold first",
		})
	}
	return denials, nil
}}

var unassignable = Denial{
	Message: "you may not put namespaces into this tenant, or take them out",
	Mend:    "leave the label as it is, or ask the cluster admin",
}

// holdsVolumes reports whether a volume of ours is for the namespace, or a claim
// of ours there waits for one.
func (l *lookup) holdsVolumes(ctx context.Context, namespace string) (bool, error) {
	var volumes corev1.PersistentVolumeList
	if err := l.cached.List(ctx, &volumes); err != nil {
		return false, fmt.Errorf("look for volumes of a namespace: %w", err)
	}
	for i := range volumes.Items {
		pv := &volumes.Items[i]
		if l.ours(pv) && pv.Spec.ClaimRef != nil && pv.Spec.ClaimRef.Namespace == namespace {
			return true, nil
		}
	}
	var claims corev1.PersistentVolumeClaimList
	if err := l.cached.List(ctx, &claims, client.InNamespace(namespace)); err != nil {
		return false, fmt.Errorf("look for claims of a namespace: %w", err)
	}
	for i := range claims.Items {
		name := className(&claims.Items[i])
		class, found, err := l.class(ctx, name)
		if err != nil {
			return false, err
		}
		if name != "" && found && l.drivers.Owns(class.Provisioner) {
			return true, nil
		}
	}
	return false, nil
}

// holdsSnapshots reports whether a snapshot by one of our drivers is for the
// namespace. One that was asked for and is not taken is of a claim, which counts.
func (l *lookup) holdsSnapshots(ctx context.Context, namespace string) (bool, error) {
	var contents snapshotv1.VolumeSnapshotContentList
	err := l.cached.List(ctx, &contents)
	if notCached(err) {
		err = l.live.List(ctx, &contents)
	}
	if err != nil && !meta.IsNoMatchError(err) { // not served: there are none
		return false, fmt.Errorf("look for snapshots of a namespace: %w", err)
	}
	return slices.ContainsFunc(contents.Items, func(c snapshotv1.VolumeSnapshotContent) bool {
		return l.drivers.IsCSI(c.Spec.Driver) && c.Spec.VolumeSnapshotRef.Namespace == namespace
	}), nil
}
