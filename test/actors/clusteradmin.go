package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// ClusterAdmin has every right in one compute cluster.
type ClusterAdmin struct {
	client.Client

	// Compute is the cluster.
	Compute *cluster.Compute
	// Layout is that of the chart as it was installed.
	Layout tenancy.Layout
}

// NewClusterAdmin prepares a cluster admin's client. It gives the built-in role
// "admin" of namespaces the right to make snapshots, as cluster admins do.
func NewClusterAdmin(ctx context.Context, c *cluster.Compute) (*ClusterAdmin, error) {
	cl, err := newClient(c.RESTConfig())
	if err != nil {
		return nil, err
	}
	role := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{
			Name: "snapshot-user", Labels: map[string]string{"rbac.authorization.k8s.io/aggregate-to-admin": "true"},
		},
		Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{snapshotv1.GroupName}, Resources: []string{"volumesnapshots"}, Verbs: []string{"*"},
		}},
	}
	if err := cl.Create(ctx, role); err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, fmt.Errorf("let namespace admins make snapshots: %w", err)
	}
	return &ClusterAdmin{Client: cl, Compute: c, Layout: c.Layout}, nil
}

func newClient(config *rest.Config) (client.Client, error) {
	s := runtime.NewScheme()
	if err := errors.Join(scheme.AddToScheme(s), snapshotv1.AddToScheme(s)); err != nil {
		return nil, fmt.Errorf("scheme: %w", err)
	}
	config.QPS, config.Burst = -1, -1 // the API server has its own limits
	cl, err := client.New(config, client.Options{Scheme: s})
	if err != nil {
		return nil, fmt.Errorf("kubernetes client: %w", err)
	}
	return cl, nil
}

// MakeClass makes a StorageClass as people have it, without any secrets, and
// returns it as it was stored.
func (a *ClusterAdmin) MakeClass(ctx context.Context, name, provisioner string) (*storagev1.StorageClass, error) {
	reclaim := corev1.PersistentVolumeReclaimDelete
	class := &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: provisioner, ReclaimPolicy: &reclaim,
		Parameters: map[string]string{"repl": "1"},
	}
	if err := a.Create(ctx, class); err != nil {
		return nil, fmt.Errorf("make StorageClass %s: %w", name, err)
	}
	return class, nil
}

// MakeSnapshotClass makes a VolumeSnapshotClass without any secrets, and returns
// it as it was stored.
func (a *ClusterAdmin) MakeSnapshotClass(ctx context.Context, name string) (*snapshotv1.VolumeSnapshotClass, error) {
	class := &snapshotv1.VolumeSnapshotClass{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Driver: tenancy.CSIDriver,
		DeletionPolicy: snapshotv1.VolumeSnapshotContentDelete,
	}
	if err := a.Create(ctx, class); err != nil {
		return nil, fmt.Errorf("make VolumeSnapshotClass %s: %w", name, err)
	}
	return class, nil
}

// StaticVolume is a PV that an operator or backup tool might write for a raw
// handle, for a claim of the given namespace.
func StaticVolume(name, handle, namespace, claim string) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeSpec{
			Capacity: size(), AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			ClaimRef:                      &corev1.ObjectReference{Kind: "PersistentVolumeClaim", APIVersion: "v1", Namespace: namespace, Name: claim},
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				CSI: &corev1.CSIPersistentVolumeSource{Driver: tenancy.CSIDriver, VolumeHandle: handle},
			},
		},
	}
}

// SnapshotContents are those of the snapshots of a namespace.
func (a *ClusterAdmin) SnapshotContents(ctx context.Context, namespace string) ([]snapshotv1.VolumeSnapshotContent, error) {
	var list snapshotv1.VolumeSnapshotContentList
	if err := a.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("list snapshot contents: %w", err)
	}
	return slices.DeleteFunc(list.Items, func(c snapshotv1.VolumeSnapshotContent) bool {
		return c.Spec.VolumeSnapshotRef.Namespace != namespace
	}), nil
}

// Events are all events of the cluster.
func (a *ClusterAdmin) Events(ctx context.Context) ([]corev1.Event, error) {
	var list corev1.EventList
	if err := a.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("list events: %w", err)
	}
	return list.Items, nil
}

// SetReclaimPolicy says what becomes of the volume when its PV is released.
func (a *ClusterAdmin) SetReclaimPolicy(ctx context.Context, pv string, policy corev1.PersistentVolumeReclaimPolicy) error {
	patch := fmt.Appendf(nil, `{"spec":{"persistentVolumeReclaimPolicy":%q}}`, policy)
	volume := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: pv}}
	if err := a.Patch(ctx, volume, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("reclaim policy of PV %s: %w", pv, err)
	}
	return nil
}
