package actors

import (
	"context"
	"errors"
	"fmt"
	"time"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

const (
	pollInterval = 200 * time.Millisecond
	// patience is how long anything may take that Kubernetes does by itself.
	patience = 90 * time.Second
)

// Team is an app team. It may do in its own namespace what the built-in role
// "admin" allows, and nothing else. It knows nothing of Bulkhead.
type Team struct {
	client.Client

	// Namespace is the team's, as it was when the team was made.
	Namespace *corev1.Namespace
	// Admin is the admin of the team's cluster.
	Admin *ClusterAdmin
	// User is the name under which the team's people log in.
	User string
}

// NewTeam makes a namespace and gives a team the rights in it. Changes are made
// to the namespace before it is created.
func (a *ClusterAdmin) NewTeam(ctx context.Context, namespace string, changes ...func(*corev1.Namespace)) (*Team, error) {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	for _, change := range changes {
		change(ns)
	}
	if err := a.Create(ctx, ns); err != nil {
		return nil, fmt.Errorf("make namespace %s: %w", namespace, err)
	}
	user := "dev-of-" + namespace
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "admin", Namespace: namespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "admin"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	}
	if err := a.Create(ctx, binding); err != nil {
		return nil, fmt.Errorf("give %s its rights: %w", user, err)
	}
	config := a.Compute.RESTConfig()
	config.Impersonate = rest.ImpersonationConfig{UserName: user}
	cl, err := newClient(config)
	if err != nil {
		return nil, err
	}
	team := &Team{Client: cl, Namespace: ns, Admin: a, User: user}
	if err := team.waitForRights(ctx); err != nil {
		return nil, fmt.Errorf("wait until %s has its rights: %w", user, err)
	}
	return team, nil
}

// waitForRights waits until the API server knows of the binding: it hears of that a
// moment after it has stored it.
func (t *Team) waitForRights(ctx context.Context) error {
	var last error
	err := Eventually(ctx, func(ctx context.Context) (bool, error) {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: t.Namespace.Name, Verb: "create", Resource: "persistentvolumeclaims",
			},
		}}
		// The namespace is there: what fails is tried again.
		last = t.Create(ctx, review)
		return last == nil && review.Status.Allowed, nil
	})
	return errors.Join(err, last)
}

// Tenant is the team as a tenant.
func (t *Team) Tenant() tenancy.Tenant {
	return tenancy.Of(t.Namespace.Name, string(t.Namespace.UID), t.Namespace.Labels)
}

// Subject is who the team is on the storage cluster.
func (t *Team) Subject() string { return t.Tenant().Subject(t.Admin.Compute.Name) }

// Claim is a plain claim of the team: 1 GiB of a class.
func (t *Team) Claim(name, class string, changes ...func(*corev1.PersistentVolumeClaim)) *corev1.PersistentVolumeClaim {
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: t.Namespace.Name},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:        corev1.VolumeResourceRequirements{Requests: size()},
			StorageClassName: &class,
		},
	}
	for _, change := range changes {
		change(claim)
	}
	return claim
}

// ByOldAnnotation names the class of a claim as people did before 2016.
func ByOldAnnotation(claim *corev1.PersistentVolumeClaim) {
	claim.Annotations = map[string]string{tenancy.BetaStorageClass: *claim.Spec.StorageClassName}
	claim.Spec.StorageClassName = nil
}

// Annotated adds an annotation to a claim.
func Annotated(key, value string) func(*corev1.PersistentVolumeClaim) {
	return func(claim *corev1.PersistentVolumeClaim) { metav1.SetMetaDataAnnotation(&claim.ObjectMeta, key, value) }
}

// CloneOf makes a claim a clone of another one, of another namespace if that is
// not empty.
func CloneOf(namespace, name string) func(*corev1.PersistentVolumeClaim) {
	return func(claim *corev1.PersistentVolumeClaim) {
		claim.Spec.DataSourceRef = &corev1.TypedObjectReference{Kind: "PersistentVolumeClaim", Name: name}
		if namespace != "" {
			claim.Spec.DataSourceRef.Namespace = &namespace
		}
	}
}

// RestoredFrom makes a claim a restore of a snapshot.
func RestoredFrom(snapshot string) func(*corev1.PersistentVolumeClaim) {
	return func(claim *corev1.PersistentVolumeClaim) {
		group := snapshotv1.GroupName
		claim.Spec.DataSourceRef = &corev1.TypedObjectReference{APIGroup: &group, Kind: "VolumeSnapshot", Name: snapshot}
	}
}

// MakeBound creates claims and waits until all are bound. It returns the volume
// handles, in the order of the claims.
func (t *Team) MakeBound(ctx context.Context, claims ...*corev1.PersistentVolumeClaim) ([]string, error) {
	for _, claim := range claims {
		if err := t.Create(ctx, claim); err != nil {
			return nil, fmt.Errorf("make claim %s/%s: %w", claim.Namespace, claim.Name, err)
		}
	}
	var handles []string
	for _, claim := range claims {
		handle, err := t.WaitBound(ctx, claim.Name)
		if err != nil {
			return nil, err
		}
		handles = append(handles, handle)
	}
	return handles, nil
}

// WaitBound waits until the claim is bound and returns its volume's handle. An
// error says what the claim's last event was.
func (t *Team) WaitBound(ctx context.Context, name string) (handle string, err error) {
	var claim corev1.PersistentVolumeClaim
	err = Eventually(ctx, func(ctx context.Context) (bool, error) {
		err := t.Get(ctx, types.NamespacedName{Namespace: t.Namespace.Name, Name: name}, &claim)
		return claim.Status.Phase == corev1.ClaimBound, err
	})
	if err != nil {
		return "", fmt.Errorf("claim %s/%s is %s: %w; last event: %s", t.Namespace.Name, name, claim.Status.Phase, err, t.lastEvent(ctx, name))
	}
	volume, err := t.Volume(ctx, name)
	if err != nil {
		return "", err
	}
	if volume.Spec.CSI == nil {
		return "", fmt.Errorf("PV %s has no csi source", volume.Name)
	}
	return volume.Spec.CSI.VolumeHandle, nil
}

// Volume is the PV that a claim of the team is bound to.
func (t *Team) Volume(ctx context.Context, claimName string) (*corev1.PersistentVolume, error) {
	var claim corev1.PersistentVolumeClaim
	if err := t.Get(ctx, types.NamespacedName{Namespace: t.Namespace.Name, Name: claimName}, &claim); err != nil {
		return nil, fmt.Errorf("claim %s: %w", claimName, err)
	}
	var volume corev1.PersistentVolume
	if err := t.Admin.Get(ctx, types.NamespacedName{Name: claim.Spec.VolumeName}, &volume); err != nil {
		return nil, fmt.Errorf("PV of claim %s: %w", claimName, err)
	}
	return &volume, nil
}

// Snapshot makes a snapshot of a claim and waits until it can be used.
func (t *Team) Snapshot(ctx context.Context, name, class, claim string) error {
	snapshot := &snapshotv1.VolumeSnapshot{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: t.Namespace.Name},
		Spec: snapshotv1.VolumeSnapshotSpec{
			VolumeSnapshotClassName: &class,
			Source:                  snapshotv1.VolumeSnapshotSource{PersistentVolumeClaimName: &claim},
		},
	}
	if err := t.Create(ctx, snapshot); err != nil {
		return fmt.Errorf("make snapshot %s: %w", name, err)
	}
	err := Eventually(ctx, func(ctx context.Context) (bool, error) {
		err := t.Get(ctx, client.ObjectKeyFromObject(snapshot), snapshot)
		return snapshot.Status != nil && snapshot.Status.ReadyToUse != nil && *snapshot.Status.ReadyToUse, err
	})
	if err != nil {
		return fmt.Errorf("snapshot %s is not ready: %w; last event: %s", name, err, t.lastEvent(ctx, name))
	}
	return nil
}

// TokenSecret is the Secret with the team's token, as the cluster admin sees
// it; the team cannot.
func (t *Team) TokenSecret(ctx context.Context) (*corev1.Secret, error) {
	ref := t.Admin.Layout.TokenSecret(t.Namespace.Name)
	var secret corev1.Secret
	err := Eventually(ctx, func(ctx context.Context) (bool, error) {
		err := t.Admin.Get(ctx, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}, &secret)
		return err == nil, client.IgnoreNotFound(err)
	})
	if err != nil {
		return nil, fmt.Errorf("token Secret %s: %w", ref, err)
	}
	return &secret, nil
}

// Token is the team's token of this moment.
func (t *Team) Token(ctx context.Context) (string, error) {
	secret, err := t.TokenSecret(ctx)
	if err != nil {
		return "", err
	}
	token := string(secret.Data[tenancy.TokenKey])
	if token == "" {
		return "", errors.New("the token Secret is empty")
	}
	return token, nil
}

func (t *Team) lastEvent(ctx context.Context, object string) string {
	var events corev1.EventList
	if err := t.Admin.List(ctx, &events, client.InNamespace(t.Namespace.Name)); err != nil {
		return err.Error()
	}
	last := "none"
	for _, e := range events.Items {
		if e.InvolvedObject.Name == object {
			last = e.Reason + ": " + e.Message
		}
	}
	return last
}

// Eventually asks until the answer is yes, an error comes, or patience ends.
func Eventually(ctx context.Context, ask func(context.Context) (bool, error)) error {
	return wait.PollUntilContextTimeout(ctx, pollInterval, patience, true, ask)
}

func size() corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
}

// DeleteSnapshot removes a snapshot of the team.
func (t *Team) DeleteSnapshot(ctx context.Context, name string) error {
	snapshot := &snapshotv1.VolumeSnapshot{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: t.Namespace.Name}}
	if err := t.Delete(ctx, snapshot); err != nil {
		return fmt.Errorf("delete snapshot %s: %w", name, err)
	}
	return nil
}
