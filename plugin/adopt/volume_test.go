package adopt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/bulkhead-dev/bulkhead/plugin/installation"
)

const keepsIt = "kubernetes.io/pv-protection"

// volumeNaming is a volume of a Bound claim that names a Secret.
func volumeNaming(secret string) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "pv", UID: "first", Finalizers: []string{keepsIt}},
		Spec: corev1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
			ClaimRef:                      &corev1.ObjectReference{Namespace: "shop", Name: "data", UID: "claim"},
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{
				Driver: "pxd.portworx.com", VolumeHandle: "123",
				NodePublishSecretRef: &corev1.SecretReference{Namespace: "kube-system", Name: secret},
			}},
		},
	}
}

// remake makes the volume again with another Secret, while the calls go as they do.
func remake(t *testing.T, calls interceptor.Funcs) (volume *corev1.PersistentVolume, journals int, err error) {
	t.Helper()
	ctx := t.Context()
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "data", UID: "claim"},
		Status:     corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound},
	}
	pv := volumeNaming("shared")
	inner := fake.NewClientBuilder().WithObjects(pv, claim).WithStatusSubresource(claim).Build()
	a := &Adopter{client: interceptor.NewClient(inner, calls), cfg: Config{
		Installation: &installation.Installation{Namespace: installation.DefaultNamespace}, Out: io.Discard,
	}}
	if err := inner.Get(ctx, client.ObjectKeyFromObject(pv), pv); err != nil {
		t.Fatal(err)
	}
	adopted := volumeNaming("own")
	adopted.UID, adopted.ResourceVersion = "", ""
	j, err := a.begin(ctx, volumeKind, pv.Name, pv, adopted)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = a.finishVolume(ctx, j)
	err = errors.Join(err, a.settled())
	var left corev1.ConfigMapList
	if err := inner.List(ctx, &left); err != nil {
		t.Fatal(err)
	}
	volume = &corev1.PersistentVolume{}
	if err := inner.Get(ctx, client.ObjectKeyFromObject(pv), volume); err != nil {
		t.Fatalf("the volume is away: %v", err)
	}
	return volume, len(left.Items), err
}

// wantAdopted fails unless the volume is what it is to be.
func wantAdopted(t *testing.T, volume *corev1.PersistentVolume) {
	t.Helper()
	t.Helper()
	if got := volume.Spec.CSI.NodePublishSecretRef.Name; got != "own" {
		t.Errorf("it names Secret %s", got)
	}
	if got := volume.Spec.PersistentVolumeReclaimPolicy; got != corev1.PersistentVolumeReclaimDelete {
		t.Errorf("its reclaim policy is %s", got)
	}
}

// TestTheAPIServerIsAwayInTheMiddle has it away for a while after each call.
func TestTheAPIServerIsAwayInTheMiddle(t *testing.T) {
	for from := range 12 {
		t.Run(fmt.Sprintf("after %d calls", from), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				away := func() error {
					const calls = 50 // of a tenth of a second each
					if n++; n > from+2 && n <= from+2+calls {
						return syscall.ECONNREFUSED
					}
					return nil
				}
				volume, journals, err := remake(t, interceptor.Funcs{
					Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, o ...client.GetOption) error {
						return errors.Join(away(), c.Get(ctx, key, object, o...))
					},
					Delete: func(ctx context.Context, c client.WithWatch, object client.Object, o ...client.DeleteOption) error {
						// The answer is lost, not the call.
						return orLost(away(), func() error { return c.Delete(ctx, object, o...) })
					},
					Patch: func(ctx context.Context, c client.WithWatch, object client.Object, p client.Patch, o ...client.PatchOption) error {
						return orLost(away(), func() error { return c.Patch(ctx, object, p, o...) })
					},
					Create: func(ctx context.Context, c client.WithWatch, object client.Object, o ...client.CreateOption) error {
						if _, is := object.(*corev1.ConfigMap); is {
							return c.Create(ctx, object, o...)
						}
						return orLost(away(), func() error { return c.Create(ctx, object, o...) })
					},
				})
				if err != nil || journals != 0 {
					t.Errorf("%v, %d journals are left", err, journals)
				}
				wantAdopted(t, volume)
			})
		})
	}
}

// orLost does it, and loses what came of it if there is a reason.
func orLost(reason error, do func() error) error {
	err := do()
	if reason != nil {
		return reason
	}
	return err
}

// TestAnotherRunFinishesTheSameVolume is what two admins at once come to: between
// two calls of one the other has deleted the volume, or made it again too.
func TestAnotherRunFinishesTheSameVolume(t *testing.T) {
	for name, another := range map[string]func(context.Context, client.WithWatch) error{
		"has deleted it": func(context.Context, client.WithWatch) error { return nil },
		"has made it again": func(ctx context.Context, c client.WithWatch) error {
			again := volumeNaming("own")
			again.UID, again.Spec.PersistentVolumeReclaimPolicy = "second", corev1.PersistentVolumeReclaimRetain
			return c.Create(ctx, again)
		},
	} {
		for at := range 3 {
			t.Run(fmt.Sprintf("%s after %d looks", name, at), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					looks := 0
					volume, journals, err := remake(t, interceptor.Funcs{
						Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, o ...client.GetOption) error {
							if _, is := object.(*corev1.PersistentVolume); is {
								if looks == at {
									var pv corev1.PersistentVolume
									if err := c.Get(ctx, key, &pv); err == nil && pv.UID == "first" {
										pv.Finalizers = nil
										if err := errors.Join(c.Update(ctx, &pv), client.IgnoreNotFound(c.Delete(ctx, &pv))); err != nil {
											t.Error(err)
										}
										if err := another(ctx, c); err != nil {
											t.Error(err)
										}
									}
								}
								looks++
							}
							return c.Get(ctx, key, object, o...)
						},
					})
					if err != nil || journals != 0 {
						t.Errorf("%v, %d journals are left", err, journals)
					}
					wantAdopted(t, volume)
				})
			})
		}
	}
}

// TestAVolumeThatMayNotBeDeletedIsAsItWas, and so is one that somebody else deletes,
// with what is in it.
func TestAVolumeThatMayNotBeDeletedIsAsItWas(t *testing.T) {
	for name, calls := range map[string]interceptor.Funcs{
		"no right to": {Delete: func(ctx context.Context, c client.WithWatch, object client.Object, o ...client.DeleteOption) error {
			if _, is := object.(*corev1.PersistentVolume); is {
				return apierrors.NewForbidden(schema.GroupResource{Resource: "persistentvolumes"}, object.GetName(), errors.New("no right"))
			}
			return c.Delete(ctx, object, o...)
		}},
		"somebody else deletes it": {Create: func(ctx context.Context, c client.WithWatch, object client.Object, o ...client.CreateOption) error {
			return errors.Join(c.Create(ctx, object, o...), // the journal
				c.Delete(ctx, &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv"}}))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				volume, journals, err := remake(t, calls)
				if err == nil {
					t.Error("it says nothing")
				}
				if journals != 0 {
					t.Errorf("%d journals are left", journals)
				}
				is := volume.Spec
				if is.CSI.NodePublishSecretRef.Name != "shared" || is.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete ||
					volume.UID != types.UID("first") || len(volume.Finalizers) != 1 {
					t.Errorf("it is %+v", volume)
				}
			})
		})
	}
}
