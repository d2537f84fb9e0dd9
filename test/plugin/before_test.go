package plugin

import (
	"context"
	"fmt"
	"testing"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/actors"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// What the clusters of the first deployments have.
const (
	sharedSubject = cluster.SharedSubject

	sharedClass   = "px-shared"   // names the shared token
	inTreeClass   = "px-intree"   // too, as the in-tree plugin does
	openClass     = "px-open"     // names none
	snapshotClass = "px-snapshot" // names the shared token
)

var sharedSecret = tenancy.SecretRef{Namespace: "kube-system", Name: cluster.SharedSecret}

// former is a compute cluster as it was before Bulkhead.
type former struct {
	admin *actors.ClusterAdmin
	shop  *actors.Team
	bank  *actors.Team
	// guests is whether guest access is on as it is made.
	guests bool
}

// before makes that cluster: every namespace's volumes are owned by one subject or,
// where guests have access, by nobody.
func before(t *testing.T, name string, guests bool) *former {
	t.Helper()
	f, err := newFormer(t.Context(), name, guests)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func newFormer(ctx context.Context, name string, guests bool) (*former, error) {
	compute, err := env.StartCompute(ctx, name)
	if err != nil {
		return nil, err
	}
	f := &former{guests: guests}
	if f.admin, err = actors.NewClusterAdmin(ctx, compute); err != nil {
		return nil, err
	}
	if err := f.shareToken(ctx); err != nil {
		return nil, err
	}
	if err := f.makeClasses(ctx); err != nil {
		return nil, err
	}
	if f.shop, err = f.admin.NewTeam(ctx, "shop"); err != nil {
		return nil, err
	}
	if f.bank, err = f.admin.NewTeam(ctx, "bank"); err != nil {
		return nil, err
	}
	for _, team := range []*actors.Team{f.shop, f.bank} {
		if err := f.work(ctx, team); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *former) shareToken(ctx context.Context) error {
	token, err := env.Storage.SharedToken(sharedSubject)
	if err != nil {
		return err
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: sharedSecret.Namespace, Name: sharedSecret.Name},
		StringData: map[string]string{tenancy.TokenKey: token},
	}
	if err := f.admin.Create(ctx, secret); err != nil {
		return fmt.Errorf("make the shared Secret: %w", err)
	}
	return nil
}

func (f *former) makeClasses(ctx context.Context) error {
	shared := func(keys ...string) map[string]string {
		parameters := map[string]string{"repl": "1"}
		for _, key := range keys {
			parameters[key+"-name"], parameters[key+"-namespace"] = sharedSecret.Name, sharedSecret.Namespace
		}
		return parameters
	}
	reclaim, expand := corev1.PersistentVolumeReclaimDelete, true
	class := func(name, provisioner string, parameters map[string]string) client.Object {
		return &storagev1.StorageClass{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: provisioner, Parameters: parameters,
			ReclaimPolicy: &reclaim, AllowVolumeExpansion: &expand,
		}
	}
	for _, object := range []client.Object{
		// By the keys that the documents of Portworx have.
		class(sharedClass, tenancy.CSIDriver, shared("csi.storage.k8s.io/provisioner-secret",
			"csi.storage.k8s.io/node-publish-secret", "csi.storage.k8s.io/controller-expand-secret")),
		class(inTreeClass, tenancy.InTreePlugin, shared("openstorage.io/auth-secret")),
		class(openClass, tenancy.CSIDriver, shared()),
		&snapshotv1.VolumeSnapshotClass{
			ObjectMeta: metav1.ObjectMeta{Name: snapshotClass}, Driver: tenancy.CSIDriver,
			DeletionPolicy: snapshotv1.VolumeSnapshotContentDelete, Parameters: shared("csi.storage.k8s.io/snapshotter-secret"),
		},
	} {
		if err := f.admin.Create(ctx, object); err != nil {
			return fmt.Errorf("make class %s: %w", object.GetName(), err)
		}
	}
	return nil
}

// claims that every team has: by which class, and how.
func (f *former) claims(team *actors.Team) []*corev1.PersistentVolumeClaim {
	claims := []*corev1.PersistentVolumeClaim{
		team.Claim("data", sharedClass),
		// As people wrote them for Stork.
		team.Claim("marked", sharedClass,
			actors.Annotated(tenancy.AuthSecretName, sharedSecret.Name), actors.Annotated(tenancy.AuthSecretNamespace, sharedSecret.Namespace)),
		team.Claim("old", inTreeClass),
	}
	if f.guests {
		claims = append(claims, team.Claim("open", openClass))
	}
	return claims
}

// install installs Bulkhead in the cluster and waits until both teams have tokens.
func (f *former) install(t *testing.T) {
	t.Helper()
	if _, err := env.SetUpStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := env.Register(t.Context(), f.admin.Compute); err != nil {
		t.Fatal(err)
	}
	if err := env.Install(t.Context(), f.admin.Compute); err != nil {
		t.Fatal(err)
	}
	f.admin.Layout = f.admin.Compute.Layout
	for _, namespace := range []string{"shop", "bank"} {
		if err := f.tokenOf(t.Context(), namespace); err != nil {
			t.Fatal(err)
		}
	}
}

// work is what a team did before: claims, a snapshot, and a clone.
func (f *former) work(ctx context.Context, team *actors.Team) error {
	claims := f.claims(team)
	for _, claim := range claims {
		if err := team.Create(ctx, claim); err != nil {
			return fmt.Errorf("make claim %s: %w", claim.Name, err)
		}
	}
	for _, claim := range claims {
		if err := f.bound(ctx, team, claim.Name); err != nil {
			return err
		}
	}
	if err := team.Create(ctx, team.Claim("copy", sharedClass, actors.CloneOf("", "data"))); err != nil {
		return fmt.Errorf("make a clone: %w", err)
	}
	if err := f.bound(ctx, team, "copy"); err != nil {
		return err
	}
	return team.Snapshot(ctx, "nightly", snapshotClass, "data")
}

// bound waits until a claim is bound, to a volume of either kind.
func (f *former) bound(ctx context.Context, team *actors.Team, name string) error {
	key := client.ObjectKey{Namespace: team.Namespace.Name, Name: name}
	var claim corev1.PersistentVolumeClaim
	err := actors.Eventually(ctx, func(ctx context.Context) (bool, error) {
		err := f.admin.Get(ctx, key, &claim)
		return claim.Status.Phase == corev1.ClaimBound, err
	})
	if err != nil {
		return fmt.Errorf("claim %s is %s: %w", key, claim.Status.Phase, err)
	}
	return nil
}

// tokenOf waits until a namespace has its token.
func (f *former) tokenOf(ctx context.Context, namespace string) error {
	ref := f.admin.Layout.TokenSecret(namespace)
	return actors.Eventually(ctx, func(ctx context.Context) (bool, error) {
		err := f.admin.Get(ctx, client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}, &corev1.Secret{})
		return err == nil, client.IgnoreNotFound(err)
	})
}
