package adopt

import (
	"context"
	"fmt"
	"maps"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const snapshotClassKind = "VolumeSnapshotClass"

// SnapshotClasses has VolumeSnapshotClasses of our drivers name the token of each
// snapshot's namespace. Their parameters can be changed.
func (a *Adopter) SnapshotClasses(ctx context.Context, which Selection) error {
	if err := which.withoutNamespace(snapshotClassKind); err != nil {
		return err
	}
	var classes snapshotv1.VolumeSnapshotClassList
	if err := a.client.List(ctx, &classes); err != nil {
		return fmt.Errorf("list VolumeSnapshotClasses: %w", err)
	}
	var p plan
	named := namesLeft(which)
	for i := range classes.Items {
		class := &classes.Items[i]
		delete(named, class.Name)
		if !which.has(class.Name, "") {
			continue
		}
		if !a.cfg.Installation.Rules.Drivers.IsCSI(class.Driver) {
			p.add(change{}, false, which.notOurs(snapshotClassKind, class.Name))
			continue
		}
		adopted := class.DeepCopy()
		// An update carries over what it leaves out, so the new ones are written.
		withoutSecrets(adopted.Parameters)
		if adopted.Parameters == nil {
			adopted.Parameters = map[string]string{}
		}
		for _, pair := range a.cfg.Installation.Layout.SnapshotClassParameters() {
			maps.Copy(adopted.Parameters, pair.Values())
		}
		p.add(a.update(ctx, snapshotClassKind, class, adopted))
	}
	if err := notFound(snapshotClassKind, named, ""); err != nil {
		return err
	}
	return a.carryOut(ctx, p)
}

// update is the change of an object that can be changed as it is: the API server
// is asked first whether it will let that through.
func (a *Adopter) update(ctx context.Context, kind string, before, after client.Object) (c change, needed bool, err error) {
	what := kind + " " + client.ObjectKeyFromObject(before).String()
	if before.GetNamespace() == "" {
		what = kind + " " + before.GetName()
	}
	text, err := diffOf(before, after)
	if err != nil || text == "" {
		return change{}, false, err
	}
	tried, ok := after.DeepCopyObject().(client.Object)
	if !ok {
		return change{}, false, fmt.Errorf("%s: a %T is no object", what, after)
	}
	if err := a.client.Update(ctx, tried, client.DryRunAll); err != nil {
		return change{}, false, fmt.Errorf("%s: the change would be refused: %w", what, err)
	}
	return change{what: what, diff: text, apply: func(ctx context.Context) (string, error) {
		if err := a.cfg.Log.write(Entry{Kind: kind, Namespace: before.GetNamespace(), Name: before.GetName()}, before, after); err != nil {
			return "", err
		}
		if err := a.client.Update(ctx, after); err != nil { // not if it was changed since
			return "", fmt.Errorf("change it: %w", err)
		}
		return "changed", nil
	}}, true, nil
}
