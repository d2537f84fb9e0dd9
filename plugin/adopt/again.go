package adopt

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// patience is how long an object may take to go, or to be let in again.
	patience     = 2 * time.Minute
	pollInterval = 100 * time.Millisecond
)

// asNew removes from an object what the API server wrote, so that it can be
// created again.
func asNew(object client.Object) {
	object.SetUID("")
	object.SetResourceVersion("")
	object.SetGeneration(0)
	object.SetCreationTimestamp(metav1.Time{})
	object.SetDeletionTimestamp(nil)
	object.SetDeletionGracePeriodSeconds(nil)
	object.SetManagedFields(nil)
}

// foreseen is what the API server and the webhook make of an object, by a dry run
// under a name that nobody has. Whatever they refuse, they refuse now, and not
// when the object is gone.
func (a *Adopter) foreseen(ctx context.Context, object client.Object) error {
	name := object.GetName()
	object.SetName("bulkhead-adopt-" + uuid.NewString())
	err := a.client.Create(ctx, object, client.DryRunAll)
	object.SetName(name)
	asNew(object)
	if err != nil {
		return fmt.Errorf("it would be refused: %w", err)
	}
	return nil
}

// createAgain makes an object that was deleted. It goes on trying: there is no
// other now. Where there is one already, of a call whose answer was lost or of
// another run, same says of that, read into now, whether it is the one.
func (a *Adopter) createAgain(ctx context.Context, object, now client.Object, same func() bool) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, pollInterval, patience, true, func(ctx context.Context) (bool, error) {
		asNew(object)
		if last = a.client.Create(ctx, object); !apierrors.IsAlreadyExists(last) {
			return last == nil, nil
		}
		if last = a.client.Get(ctx, client.ObjectKeyFromObject(object), now); last != nil {
			return false, nil //nolint:nilerr // it is tried again, and last is told
		}
		if !same() {
			return false, errors.New("somebody else made another one")
		}
		return true, nil
	})
	if err = errors.Join(err, last); err != nil {
		return fmt.Errorf("make it again: %w; its journal stays: kubectl bulkhead adopt finish", err)
	}
	return nil
}

// insist does what must not be left half done, and goes on trying: the API server
// may be away for a while. What it says of the object, and of whoever asks, is
// final.
func insist(ctx context.Context, do func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, pollInterval, patience, true, func(ctx context.Context) (bool, error) {
		last = do(ctx)
		if apierrors.IsNotFound(last) || apierrors.IsConflict(last) || apierrors.IsInvalid(last) || apierrors.IsForbidden(last) {
			return false, last
		}
		return last == nil, nil
	})
	if last != nil {
		return last
	}
	return err //nolint:wrapcheck // it is that of the context
}

// letGo removes what keeps an object that was deleted, and waits until the one of
// that uid is gone.
func (a *Adopter) letGo(ctx context.Context, object client.Object, uid types.UID) error {
	err := insist(ctx, func(ctx context.Context) error {
		// A merge patch with the uid changes no other object of the name.
		body := fmt.Sprintf(`{"metadata":{"uid":%q,"finalizers":null}}`, uid)
		err := a.client.Patch(ctx, object, client.RawPatch(types.MergePatchType, []byte(body)))
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return err //nolint:wrapcheck // below
		}
		switch err := a.client.Get(ctx, client.ObjectKeyFromObject(object), object); {
		case apierrors.IsNotFound(err):
			return nil
		case err == nil && object.GetUID() == uid:
			return errors.New("it is still there")
		default:
			return err //nolint:wrapcheck // below
		}
	})
	if err != nil {
		return fmt.Errorf("let it go: %w; its journal stays: kubectl bulkhead adopt finish", err)
	}
	return nil
}
