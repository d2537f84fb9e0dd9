package webhook

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// volumes of our drivers get the references by which every later call finds the
// token of their claim's namespace, and in-tree volumes become csi ones.
var volumes = resource[corev1.PersistentVolume, *review[corev1.PersistentVolume]]{
	prepare: asIs[corev1.PersistentVolume],
	inject:  injectVolume,
	rules:   []rule[*review[corev1.PersistentVolume]]{ruleC1, ruleC2, ruleC3, ruleC4, ruleC7Volume},
}

func injectVolume(ctx context.Context, l *lookup, r *review[corev1.PersistentVolume]) (patch, error) {
	pv := r.object
	if pv.Spec.ClaimRef == nil || pv.Spec.ClaimRef.Namespace == "" {
		return nil, nil // rule C1 refuses a volume that names no claim
	}
	namespace := pv.Spec.ClaimRef.Namespace
	pairs := l.layout.VolumeAnnotations(namespace)
	var p patch
	if r.old != nil {
		if _, field := l.handle(pv); field != "" {
			p.putBack(pv.Annotations, r.old.Annotations, pairs)
			p.putBackSource(pv.Spec, r.old.Spec)
		}
		return p, nil
	}
	switch {
	case pv.Spec.CSI != nil && l.drivers.IsCSI(pv.Spec.CSI.Driver):
		p.completeSource(pv.Spec.CSI, l.layout.TokenSecret(namespace))
	case pv.Spec.PortworxVolume != nil:
		p.replaceInTree(pv, l, namespace)
	default:
		return nil, nil
	}
	entries := absentPairs(pv.Annotations, pairs)
	if pv.Spec.PortworxVolume != nil && pv.Annotations[tenancy.ProvisionedBy] != "" {
		// The in-tree plugin is gone; its CSI driver is the one to delete it.
		entries[tenancy.ProvisionedBy] = l.drivers.CSI[0]
	}
	return p, p.attribute(ctx, l, pv.Annotations, entries, namespace)
}

// putBackSource carries over what was filled in as the volume was made. Its source
// is immutable, so an update by the manifest that it was made by would be refused.
func (p *patch) putBackSource(is, was corev1.PersistentVolumeSpec) {
	if was.CSI == nil {
		return
	}
	if is.PortworxVolume != nil && was.PortworxVolume == nil && is.PortworxVolume.VolumeID == was.CSI.VolumeHandle {
		p.remove("/spec/portworxVolume")
		if is.CSI == nil {
			p.set("/spec/csi", was.CSI)
		}
	}
	if is.CSI == nil || is.CSI.VolumeHandle != was.CSI.VolumeHandle {
		return
	}
	old := secretReferences(was.CSI)
	for i, field := range secretReferences(is.CSI) {
		if field.current == nil && old[i].current != nil {
			p.set("/spec/csi/"+field.name, old[i].current)
		}
	}
}

// completeSource fills in the secret references that are missing or empty.
func (p *patch) completeSource(source *corev1.CSIPersistentVolumeSource, ref tenancy.SecretRef) {
	for _, field := range secretReferences(source) {
		if field.current == nil || (field.current.Name == "" && field.current.Namespace == "") {
			p.set("/spec/csi/"+field.name, secretReference(ref))
		}
	}
}

// namedReference is a secret reference of a csi source, by the name of its field.
type namedReference struct {
	name    string
	current *corev1.SecretReference
}

func secretReferences(source *corev1.CSIPersistentVolumeSource) []namedReference {
	return []namedReference{
		{"controllerExpandSecretRef", source.ControllerExpandSecretRef},
		{"controllerPublishSecretRef", source.ControllerPublishSecretRef},
		{"nodeExpandSecretRef", source.NodeExpandSecretRef},
		{"nodePublishSecretRef", source.NodePublishSecretRef},
		{"nodeStageSecretRef", source.NodeStageSecretRef},
	}
}

// replaceInTree rewrites an in-tree volume to a csi one. The Node authorizer
// lets a kubelet read a Secret only if a csi source names it, so an in-tree
// volume that needs a token cannot be mounted.
func (p *patch) replaceInTree(pv *corev1.PersistentVolume, l *lookup, namespace string) {
	inTree, ref := pv.Spec.PortworxVolume, secretReference(l.layout.TokenSecret(namespace))
	p.remove("/spec/portworxVolume")
	p.set("/spec/csi", corev1.CSIPersistentVolumeSource{
		Driver:                     l.drivers.CSI[0],
		VolumeHandle:               inTree.VolumeID,
		ReadOnly:                   inTree.ReadOnly,
		FSType:                     inTree.FSType,
		ControllerExpandSecretRef:  ref,
		ControllerPublishSecretRef: ref,
		NodeExpandSecretRef:        ref,
		NodePublishSecretRef:       ref,
		NodeStageSecretRef:         ref,
	})
}

func secretReference(ref tenancy.SecretRef) *corev1.SecretReference {
	return &corev1.SecretReference{Name: ref.Name, Namespace: ref.Namespace}
}

// handle is the volume on the storage cluster that a PV of ours stands for, and
// the field that names it; empty if the PV is not ours.
func (l *lookup) handle(pv *corev1.PersistentVolume) (handle, field string) {
	switch {
	case pv.Spec.CSI != nil && l.drivers.IsCSI(pv.Spec.CSI.Driver):
		return pv.Spec.CSI.VolumeHandle, "spec.csi.volumeHandle"
	case pv.Spec.PortworxVolume != nil:
		return pv.Spec.PortworxVolume.VolumeID, "spec.portworxVolume.volumeID"
	}
	return "", ""
}
