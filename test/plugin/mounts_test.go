package plugin

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/test/actors"
)

// mountAllTheWhile mounts the volumes of claims again and again, as Pods that start
// do, with the Secret that each volume names in that moment, until the function
// that it returns is called. That fails the test if a call was refused.
func (f *former) mountAllTheWhile(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var (
		running sync.WaitGroup
		mounts  int
		refused []error
	)
	running.Go(func() {
		const often = 50 * time.Millisecond
		_ = wait.PollUntilContextCancel(ctx, often, true, func(ctx context.Context) (bool, error) {
			for _, team := range []*actors.Team{f.shop, f.bank} {
				for _, name := range []string{"data", "marked", "copy"} {
					switch was, err := f.mountNow(ctx, team, name); {
					case ctx.Err() != nil:
					case err != nil:
						refused = append(refused, fmt.Errorf("%s/%s: %w", team.Namespace.Name, name, err))
					case was:
						mounts++
					}
				}
			}
			return false, nil
		})
	})
	return func() {
		t.Helper()
		cancel()
		running.Wait()
		t.Logf("%d mounts meanwhile", mounts)
		if mounts == 0 || len(refused) > 0 {
			t.Errorf("%d mounts, and refused: %v", mounts, errors.Join(refused...))
		}
	}
}

// mountNow mounts the volume of a claim; was is whether it was there.
func (f *former) mountNow(ctx context.Context, team *actors.Team, name string) (was bool, err error) {
	for {
		pv, err := f.volumeNow(ctx, team, name)
		if apierrors.IsNotFound(err) {
			return false, nil // it is away: a kubelet tries again
		}
		if err != nil {
			return false, err
		}
		refusal := f.admin.Mount(ctx, pv.Spec.CSI, pv.Spec.CSI.VolumeAttributes)
		if refusal == nil {
			return true, nil
		}
		now, err := f.volumeNow(ctx, team, name)
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		if err != nil || equality.Semantic.DeepEqual(now.Spec.CSI, pv.Spec.CSI) {
			return false, errors.Join(refusal, err)
		} // it was read a moment before it was changed
	}
}

func (f *former) volumeNow(ctx context.Context, team *actors.Team, name string) (*corev1.PersistentVolume, error) {
	var claim corev1.PersistentVolumeClaim
	if err := f.admin.Get(ctx, client.ObjectKey{Namespace: team.Namespace.Name, Name: name}, &claim); err != nil {
		return nil, err
	}
	pv := &corev1.PersistentVolume{}
	return pv, f.admin.Get(ctx, client.ObjectKey{Name: claim.Spec.VolumeName}, pv)
}
