package adopt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Undo makes the changes of an audit file undone, the last first, and stops at one
// that cannot be: a volume whose references stay must not lose its owner. The webhook refuses what it refuses: to
// go back to a shared token, take its rules out of force first.
func (a *Adopter) Undo(ctx context.Context, s *Storage, entries []Entry) error {
	p := plan{inOrder: true}
	for _, e := range slices.Backward(entries) {
		if e.Kind == ownershipKind && s == nil {
			return errors.New("want --storage-token-file: the file has changes of the storage cluster")
		}
		if s != nil && e.Cluster != "" && s.Cluster != "" && e.Cluster != s.Cluster {
			return fmt.Errorf("the file is of cluster %s, and this is %s", e.Cluster, s.Cluster)
		}
		c, err := a.undo(s, e)
		p.add(c, err == nil, err)
	}
	return a.carryOut(ctx, p)
}

// gone is what came of an object that was deleted since.
const gone = "is gone"

func (a *Adopter) undo(s *Storage, e Entry) (change, error) {
	switch e.Kind {
	case ownershipKind:
		return a.undoOwnership(s, e)
	case classKind:
		return undoRemade(a, e, new(storagev1.StorageClass), new(storagev1.StorageClass), func(now, was *storagev1.StorageClass) bool {
			return equality.Semantic.DeepEqual(now.Parameters, was.Parameters)
		}, a.remakeClass)
	case volumeKind:
		return undoRemade(a, e, new(corev1.PersistentVolume), new(corev1.PersistentVolume), func(now, was *corev1.PersistentVolume) bool {
			return equality.Semantic.DeepEqual(now.Spec.PersistentVolumeSource, was.Spec.PersistentVolumeSource)
		}, a.remakeVolume)
	case snapshotClassKind:
		return undoChanged(a, e, new(snapshotv1.VolumeSnapshotClass), new(snapshotv1.VolumeSnapshotClass), func(now, was, is *snapshotv1.VolumeSnapshotClass) {
			now.Parameters = changedBack(now.Parameters, was.Parameters, is.Parameters)
		})
	case contentKind:
		return undoChanged(a, e, new(snapshotv1.VolumeSnapshotContent), new(snapshotv1.VolumeSnapshotContent), func(now, was, is *snapshotv1.VolumeSnapshotContent) {
			now.Annotations = changedBack(now.Annotations, was.Annotations, is.Annotations)
		})
	case claimKind:
		return undoChanged(a, e, new(corev1.PersistentVolumeClaim), new(corev1.PersistentVolumeClaim), func(now, was, is *corev1.PersistentVolumeClaim) {
			now.Annotations = changedBack(now.Annotations, was.Annotations, is.Annotations)
		})
	}
	return change{}, fmt.Errorf("%s %s: the file was written by another version of kubectl bulkhead: use that", e.Kind, e.Name)
}

// back reads what was changed, and shows what changes back.
func (e Entry) back(before, after any) (diff string, err error) {
	if err := errors.Join(json.Unmarshal(e.Before, before), json.Unmarshal(e.After, after)); err != nil {
		return "", fmt.Errorf("%s %s: %w", e.Kind, e.Name, err)
	}
	return diffOf(after, before)
}

func (a *Adopter) undoOwnership(s *Storage, e Entry) (change, error) {
	var before, after ownershipText
	text, err := e.back(&before, &after)
	if err != nil {
		return change{}, err
	}
	return change{what: "volume " + e.Name, diff: text, apply: func(ctx context.Context) (string, error) {
		now, err := s.Client.Volume(s.as(ctx), e.Name)
		if status.Code(err) == codes.NotFound {
			return gone, nil
		}
		if err != nil {
			return "", err
		}
		if equalOwnership(now.Ownership, before.Ownership) {
			return "is so already", nil
		}
		if !equalOwnership(now.Ownership, after.Ownership) {
			return "", errors.New("its ownership was changed since, so it is left as it is")
		}
		if err := a.setOwnership(ctx, *s, e.Name, now.Ownership, before.Ownership); err != nil {
			return "", err
		}
		return "undone", nil
	}}, nil
}

// undoRemade makes an object again as it was.
func undoRemade[T any, O interface {
	*T
	client.Object
	DeepCopy() *T
}](a *Adopter, e Entry, before, after O, same func(now, was O) bool, remake func(ctx context.Context, now, was O) (string, error)) (change, error) {
	text, err := e.back(before, after)
	if err != nil {
		return change{}, err
	}
	return change{what: e.Kind + " " + e.Name, diff: text, apply: func(ctx context.Context) (string, error) {
		now := O(new(T))
		if err := a.client.Get(ctx, client.ObjectKeyFromObject(before), now); apierrors.IsNotFound(err) {
			return gone, nil
		} else if err != nil {
			return "", fmt.Errorf("look at it: %w", err)
		}
		if same(now, before) {
			return a.undoAnnotations(ctx, now, before, after)
		}
		if !same(now, after) {
			return "", errors.New("it was changed since, so it is left as it is")
		}
		was := O(before.DeepCopy())
		asNew(was)
		if err := a.foreseen(ctx, O(was.DeepCopy())); err != nil {
			return "", err
		}
		return remake(ctx, now, was)
	}}, nil
}

// undoAnnotations puts back the annotations of an object that was not made again.
func (a *Adopter) undoAnnotations(ctx context.Context, now, was, is client.Object) (string, error) {
	back := changedBack(now.GetAnnotations(), was.GetAnnotations(), is.GetAnnotations())
	if maps.Equal(now.GetAnnotations(), back) {
		return "is so already", nil
	}
	now.SetAnnotations(back)
	if err := a.client.Update(ctx, now); err != nil {
		return "", fmt.Errorf("change it back: %w", err)
	}
	return "undone", nil
}

// changedBack is a map as it is now, with what was changed from was to is as it was.
func changedBack(now, was, is map[string]string) map[string]string {
	back := maps.Clone(now)
	if back == nil {
		back = map[string]string{}
	}
	for key, value := range is {
		if before, had := was[key]; !had {
			delete(back, key)
		} else if before != value {
			back[key] = before
		}
	}
	for key, value := range was {
		if _, has := is[key]; !has {
			back[key] = value
		}
	}
	return back
}

// undoChanged changes an object back.
func undoChanged[T any, O interface {
	*T
	client.Object
}](a *Adopter, e Entry, before, after O, put func(now, was, is O)) (change, error) {
	text, err := e.back(before, after)
	if err != nil {
		return change{}, err
	}
	return change{what: e.Kind + " " + e.Name, diff: text, apply: func(ctx context.Context) (string, error) {
		now := O(new(T))
		if err := a.client.Get(ctx, client.ObjectKeyFromObject(before), now); apierrors.IsNotFound(err) {
			return gone, nil
		} else if err != nil {
			return "", fmt.Errorf("look at it: %w", err)
		}
		put(now, before, after)
		if err := a.client.Update(ctx, now); err != nil {
			return "", fmt.Errorf("change it back: %w", err)
		}
		return "undone", nil
	}}, nil
}
