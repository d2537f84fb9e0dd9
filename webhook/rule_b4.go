package webhook

import (
	"context"
	"fmt"

	groupsnapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumegroupsnapshot/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// ruleB4: groups of snapshots are held to what rules B1, B2, B3, B5 and B6 ask
// of single ones.
const ruleB4 = "BH-B4"

var ruleB4Class = rule[*review[groupsnapshotv1.VolumeGroupSnapshotClass]]{id: ruleB4, check: func(_ context.Context, l *lookup, r *review[groupsnapshotv1.VolumeGroupSnapshotClass]) ([]Denial, error) {
	if !l.drivers.IsCSI(r.object.Driver) {
		return nil, nil
	}
	var old map[string]string
	if r.old != nil && l.drivers.IsCSI(r.old.Driver) { // v1beta1 lets both change
		old = parametersBefore(r.old.Parameters)
	}
	return wrongSecrets(r.object.Parameters, old, allPairs(l.layout.GroupSnapshotClassParameters())), nil
}}

var ruleB4Content = rule[*contentReview]{id: ruleB4, check: func(ctx context.Context, l *lookup, r *contentReview) ([]Denial, error) {
	var denials []Denial
	for _, single := range []rule[*contentReview]{ruleB2, ruleB3, ruleB5} {
		found, err := single.check(ctx, l, r)
		denials = append(denials, found...)
		if err != nil {
			return denials, err
		}
	}
	return denials, nil
}}

var ruleB4Snapshot = rule[*review[groupsnapshotv1.VolumeGroupSnapshot]]{id: ruleB4, check: func(ctx context.Context, l *lookup, r *review[groupsnapshotv1.VolumeGroupSnapshot]) ([]Denial, error) {
	name := valueOf(r.object.Spec.Source.VolumeGroupSnapshotContentName)
	if name == "" || (r.old != nil && valueOf(r.old.Spec.Source.VolumeGroupSnapshotContentName) == name) {
		return nil, nil
	}
	tenant, found, err := l.tenant(ctx, r.namespace)
	if err != nil || !found {
		return nil, err
	}
	content, found, err := l.groupContent(ctx, name)
	if err != nil || !found || !l.drivers.IsCSI(content.Spec.Driver) ||
		(heldFor(&content.Spec.VolumeGroupSnapshotRef, r.namespace, r.object.Name, r.object.UID) && !strange(content.Annotations, tenant)) {
		return nil, err
	}
	return []Denial{{
		Field:   "spec.source.volumeGroupSnapshotContentName",
		Message: "this content is not kept for this group snapshot",
		Mend:    "ask the cluster admin to name the group snapshot in the content's spec.volumeGroupSnapshotRef",
	}}, nil
}}

// groupContent finds a VolumeGroupSnapshotContent in whichever version it is
// served. It is read live: groups made beforehand are rare.
func (l *lookup) groupContent(ctx context.Context, name string) (*groupsnapshotv1.VolumeGroupSnapshotContent, bool, error) {
	mapping, err := l.kinds.RESTMapping(schema.GroupKind{Group: groupsnapshotv1.GroupName, Kind: "VolumeGroupSnapshotContent"})
	switch {
	case meta.IsNoMatchError(err):
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("look whether group snapshots are served: %w", err)
	}
	var object unstructured.Unstructured
	object.SetGroupVersionKind(mapping.GroupVersionKind)
	found, err := read(ctx, l.live, types.NamespacedName{Name: name}, &object)
	if err != nil || !found {
		return nil, false, err
	}
	var content groupsnapshotv1.VolumeGroupSnapshotContent
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &content); err != nil {
		return nil, false, fmt.Errorf("read group snapshot content %s: %w", name, err)
	}
	return &content, true, nil
}
