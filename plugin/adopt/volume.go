package adopt

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/plugin/output"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

const volumeKind = "PersistentVolume"

// Volumes has PVs of our drivers name the token of their claim's namespace, and
// say whose they are. The source of a PV is immutable, so one that names another
// Secret is deleted and made again for the same claim, with the reclaim policy
// Retain until that is done: the volume itself is never touched, and what is
// mounted stays mounted.
func (a *Adopter) Volumes(ctx context.Context, which Selection) error {
	if err := which.validate(); err != nil {
		return err
	}
	var volumes corev1.PersistentVolumeList
	if err := a.client.List(ctx, &volumes); err != nil {
		return fmt.Errorf("list PersistentVolumes: %w", err)
	}
	var p plan
	named := namesLeft(which)
	for i := range volumes.Items {
		pv := &volumes.Items[i]
		namespace := ""
		if pv.Spec.ClaimRef != nil {
			namespace = pv.Spec.ClaimRef.Namespace
		}
		if !which.has(pv.Name, namespace) {
			continue
		}
		delete(named, pv.Name)
		switch {
		case !a.ours(pv):
			p.add(change{}, false, which.notOurs(volumeKind, pv.Name))
		case pv.Spec.ClaimRef != nil:
			p.add(a.volume(ctx, pv))
		case !which.All:
			p.add(change{}, false, fmt.Errorf("%s %s: it names no claim, so nobody knows whose it is: set its spec.claimRef first", volumeKind, pv.Name))
		}
	}
	if err := notFound(volumeKind, named, which.Namespace); err != nil {
		return err
	}
	return a.carryOut(ctx, p)
}

// ours reports whether a PV lies on the storage cluster.
func (a *Adopter) ours(pv *corev1.PersistentVolume) bool { return a.handle(pv) != "" }

// handle is that of the volume that a PV of our drivers stands for, empty for
// others.
func (a *Adopter) handle(pv *corev1.PersistentVolume) string {
	switch {
	case pv.Spec.CSI != nil && a.cfg.Installation.Rules.Drivers.IsCSI(pv.Spec.CSI.Driver):
		return pv.Spec.CSI.VolumeHandle
	case pv.Spec.PortworxVolume != nil:
		return pv.Spec.PortworxVolume.VolumeID
	}
	return ""
}

// volume plans the change of one PV.
func (a *Adopter) volume(ctx context.Context, pv *corev1.PersistentVolume) (c change, needed bool, err error) {
	what := volumeKind + " " + pv.Name
	fail := func(err error) (change, bool, error) { return change{}, false, fmt.Errorf("%s: %w", what, err) }
	left, err := a.leftBehind(ctx, pv.Spec.ClaimRef.Namespace, pv.Annotations)
	if err != nil {
		return fail(err)
	}
	if left || pv.DeletionTimestamp != nil {
		return change{}, false, nil // the sidecar keeps its token; there is no namespace to give it to
	}
	adopted := pv.DeepCopy()
	a.strip(adopted)
	if err := a.foreseen(ctx, adopted); err != nil {
		return fail(fmt.Errorf("%w; if the storage cluster does not let the namespace have the volume: "+
			"kubectl bulkhead adopt volume %s", err, output.Argument(a.handle(pv))))
	}
	adopted.Spec.ClaimRef, adopted.Finalizers = pv.Spec.ClaimRef.DeepCopy(), pv.Finalizers
	text, err := diffOf(pv, adopted)
	if err != nil || text == "" {
		return change{}, false, err
	}
	if equality.Semantic.DeepEqual(pv.Spec.PersistentVolumeSource, adopted.Spec.PersistentVolumeSource) {
		adopted.ResourceVersion, adopted.UID = pv.ResourceVersion, pv.UID
		return a.update(ctx, volumeKind, pv, adopted)
	}
	return change{
		what: what + ", of claim " + pv.Spec.ClaimRef.Namespace + "/" + pv.Spec.ClaimRef.Name, diff: text,
		notes: []string{"it is deleted and made again for the same claim, with reclaim policy Retain until then; the volume stays, mounted or not"},
		apply: func(ctx context.Context) (string, error) { return a.remakeVolume(ctx, pv, adopted) },
	}, true, nil
}

// strip takes off a PV what names Secrets, for the webhook to write what belongs
// there.
func (a *Adopter) strip(pv *corev1.PersistentVolume) {
	asNew(pv)
	pv.Status = corev1.PersistentVolumeStatus{}
	for _, pairs := range [][]tenancy.Pair{a.cfg.Installation.Layout.VolumeAnnotations(""), a.cfg.Installation.Layout.ClaimAnnotations("")} {
		for _, pair := range pairs {
			delete(pv.Annotations, pair.NameKey)
			delete(pv.Annotations, pair.NamespaceKey)
		}
	}
	if csi := pv.Spec.CSI; csi != nil {
		csi.ControllerExpandSecretRef, csi.ControllerPublishSecretRef = nil, nil
		csi.NodeExpandSecretRef, csi.NodePublishSecretRef, csi.NodeStageSecretRef = nil, nil, nil
	}
}

// leftBehind reports whether an object says that it is of a namespace that is
// gone, made again or not, or is for none.
func (a *Adopter) leftBehind(ctx context.Context, namespace string, annotations map[string]string) (bool, error) {
	var ns corev1.Namespace
	err := a.client.Get(ctx, types.NamespacedName{Name: namespace}, &ns)
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at namespace %s: %w", namespace, err)
	}
	origin, said := tenancy.OriginOf(annotations)
	return said && !origin.Same(tenancy.Of(ns.Name, string(ns.UID), ns.Labels)), nil
}

func (a *Adopter) remakeVolume(ctx context.Context, pv, adopted *corev1.PersistentVolume) (string, error) {
	if err := a.cfg.Log.write(Entry{Kind: volumeKind, Name: pv.Name}, pv, adopted); err != nil {
		return "", err
	}
	j, err := a.begin(ctx, volumeKind, pv.Name, pv, adopted)
	if err != nil {
		return "", err
	}
	_, done, err := a.finishVolume(ctx, j)
	return done, err
}

// finishVolume makes a PV again, from whichever point it was left at.
func (a *Adopter) finishVolume(ctx context.Context, j *journal) (what, done string, err error) {
	var pv, adopted corev1.PersistentVolume
	if err := j.read(&pv, &adopted); err != nil {
		return "", "", err
	}
	what = volumeKind + " " + pv.Name
	began := time.Now()
	var now corev1.PersistentVolume
	switch err := a.client.Get(ctx, client.ObjectKeyFromObject(&pv), &now); {
	case apierrors.IsNotFound(err):
		err = a.remade(ctx, &adopted)
		if err != nil {
			return what, "", err
		}
	case err != nil:
		return what, "", fmt.Errorf("look at it: %w", err)
	case now.UID == pv.UID:
		if untouched, err := a.takeAway(ctx, &pv, &now); err != nil {
			if untouched && now.Spec.PersistentVolumeReclaimPolicy != pv.Spec.PersistentVolumeReclaimPolicy {
				// By this run, or by one that was killed.
				if back := a.policyBack(ctx, &pv); back != nil {
					return what, "", errors.Join(err, back)
				}
			}
			if untouched {
				err = a.abandon(ctx, j, err)
			}
			return what, "", err
		}
		if err := a.remade(ctx, &adopted); err != nil {
			return what, "", err
		}
	case !sameVolume(&now, &adopted):
		return what, "", fmt.Errorf("somebody else made a volume of that name; journal %s has the former one", j.configMap.Name)
	}
	gap := time.Since(began).Round(time.Millisecond)
	a.settle(what, func() (string, error) {
		note, err := a.rebound(ctx, &adopted)
		if err != nil {
			return "", err
		}
		return note, a.end(ctx, j)
	})
	return what, fmt.Sprintf("made again in %s", gap), nil
}

// takeAway deletes the PV, but not its volume: the reclaim policy is Retain first.
// untouched is whether it is as it was.
func (a *Adopter) takeAway(ctx context.Context, pv, now *corev1.PersistentVolume) (untouched bool, err error) {
	if now.DeletionTimestamp == nil {
		switch err := a.retain(ctx, pv, now); {
		case errors.Is(err, errTakenAway):
			return false, nil
		case err != nil:
			return true, err
		}
		err := insist(ctx, func(ctx context.Context) error { return a.client.Delete(ctx, now, client.Preconditions{UID: &pv.UID}) })
		switch {
		case client.IgnoreNotFound(err) == nil, apierrors.IsConflict(err): // another run may have done it since
		case apierrors.IsForbidden(err):
			return true, fmt.Errorf("delete it: %w", err)
		default:
			return false, fmt.Errorf("delete it, with reclaim policy Retain: %w; its journal stays: kubectl bulkhead adopt finish", err)
		}
	} else if now.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimRetain {
		return true, errors.New("somebody has deleted it, and its volume goes with it, so it was left as it is")
	}
	// What keeps it is the claim that it is bound to, and a node that it is
	// attached to; neither loses anything, as it comes back.
	return false, a.letGo(ctx, now, pv.UID)
}

// errTakenAway says that another run, which finishes the same journal, has deleted
// the PV and perhaps made it again.
var errTakenAway = errors.New("another run is at it")

// retain sets the reclaim policy of a PV that is what was shown.
func (a *Adopter) retain(ctx context.Context, pv, now *corev1.PersistentVolume) error {
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		err := a.client.Get(ctx, client.ObjectKeyFromObject(pv), now)
		if apierrors.IsNotFound(err) || (err == nil && now.UID != pv.UID) {
			return errTakenAway
		}
		if err != nil {
			return err //nolint:wrapcheck // below
		}
		is, was := now.Spec.DeepCopy(), pv.Spec.DeepCopy()
		is.PersistentVolumeReclaimPolicy, was.PersistentVolumeReclaimPolicy = "", ""
		if !equality.Semantic.DeepEqual(is, was) {
			return errors.New("it was changed meanwhile, so it was left as it is")
		}
		if now.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRetain {
			return nil
		}
		now.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimRetain
		return a.client.Update(ctx, now)
	})
	if err != nil {
		return fmt.Errorf("set its reclaim policy to Retain: %w", err)
	}
	return nil
}

// remade creates the PV as it will be, with reclaim policy Retain for now.
func (a *Adopter) remade(ctx context.Context, adopted *corev1.PersistentVolume) error {
	again := adopted.DeepCopy()
	again.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimRetain
	// The binder compares these; the versions are of the former volume's time.
	again.Spec.ClaimRef.ResourceVersion = ""
	var now corev1.PersistentVolume
	return a.createAgain(ctx, again, &now, func() bool { return sameVolume(&now, adopted) })
}

// sameVolume reports whether a PV has the source and the claim that it is to have.
func sameVolume(now, adopted *corev1.PersistentVolume) bool {
	return equality.Semantic.DeepEqual(now.Spec.PersistentVolumeSource, adopted.Spec.PersistentVolumeSource) &&
		now.Spec.ClaimRef != nil && now.Spec.ClaimRef.UID == adopted.Spec.ClaimRef.UID
}

// rebound waits until the claim has its volume back, and gives that the reclaim
// policy that it had.
func (a *Adopter) rebound(ctx context.Context, adopted *corev1.PersistentVolume) (note string, err error) {
	if adopted.Spec.ClaimRef.UID == "" {
		return "", a.policyBack(ctx, adopted) // it was kept for a claim that is yet to come
	}
	key := types.NamespacedName{Namespace: adopted.Spec.ClaimRef.Namespace, Name: adopted.Spec.ClaimRef.Name}
	var claim corev1.PersistentVolumeClaim
	err = insist(ctx, func(ctx context.Context) error {
		if err := a.client.Get(ctx, key, &claim); err != nil {
			return err //nolint:wrapcheck // below
		}
		if claim.UID == adopted.Spec.ClaimRef.UID && claim.Status.Phase != corev1.ClaimBound {
			return fmt.Errorf("it is %s", claim.Status.Phase)
		}
		return nil
	})
	if apierrors.IsNotFound(err) || (err == nil && claim.UID != adopted.Spec.ClaimRef.UID) {
		// Its claim was deleted, before or meanwhile: what becomes of the volume is
		// for a person to say, not for a policy that was set back in that moment.
		if adopted.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRetain {
			return "", nil
		}
		return "its claim is gone, so it keeps the reclaim policy Retain", nil
	}
	if err != nil {
		return "", fmt.Errorf("wait until claim %s is Bound again: %w; the volume is there, with reclaim policy Retain: kubectl bulkhead adopt finish", key, err)
	}
	return "", a.policyBack(ctx, adopted)
}

// policyBack gives a PV the reclaim policy that it had.
func (a *Adopter) policyBack(ctx context.Context, pv *corev1.PersistentVolume) error {
	policy := pv.Spec.PersistentVolumeReclaimPolicy
	patch := fmt.Appendf(nil, `{"spec":{"persistentVolumeReclaimPolicy":%q}}`, policy)
	err := insist(ctx, func(ctx context.Context) error {
		return a.client.Patch(ctx, &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: pv.Name}}, client.RawPatch(types.MergePatchType, patch))
	})
	if err != nil {
		return fmt.Errorf("set its reclaim policy back to %s: %w; kubectl bulkhead adopt finish", policy, err)
	}
	return nil
}

// annotated is a copy of annotations with those pairs and that origin.
func annotated(annotations map[string]string, pairs []tenancy.Pair, origin map[string]string) map[string]string {
	is := maps.Clone(annotations)
	if is == nil {
		is = map[string]string{}
	}
	for _, pair := range pairs {
		maps.Copy(is, pair.Values())
	}
	maps.Copy(is, origin)
	return is
}
