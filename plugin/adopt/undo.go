package adopt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

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
// that cannot be: a volume whose references stay must not lose its owner. The
// webhook refuses what it refuses: to go back to a shared token, take its rules out
// of force first. A run that stopped, or was killed, goes on when it is run again.
func (a *Adopter) Undo(ctx context.Context, s *Storage, entries []Entry) error {
	p := plan{inOrder: true}
	pasts := map[string]past{}
	for _, e := range entries {
		pasts[e.object()] = append(pasts[e.object()], e.Before)
	}
	for _, e := range slices.Backward(entries) {
		if e.Kind == ownershipKind && s == nil {
			return errors.New("want --storage-token-file: the file has changes of the storage cluster")
		}
		if is := a.cfg.Cluster; e.Cluster != "" && is != "" && e.Cluster != is {
			return fmt.Errorf("the file is of cluster %q, and this is %s", e.Cluster, is)
		}
		before := pasts[e.object()]
		c, err := a.undo(s, e, before)
		p.add(c, err == nil, err)
		pasts[e.object()] = before[:len(before)-1]
	}
	return a.carryOut(ctx, p)
}

func (e Entry) object() string { return strings.Join([]string{e.Kind, e.Namespace, e.Name}, "/") }

// past are the states of an object before the change that is undone and before all
// that came before it, the first first. An object in one of them was changed back
// already, by a run that ended before it had undone everything.
type past []json.RawMessage

// has reports whether one of the states is the one that is asks for.
func has[T any](states past, is func(state *T) bool) (bool, error) {
	for _, text := range states {
		state := new(T)
		if err := json.Unmarshal(text, state); err != nil {
			return false, fmt.Errorf("audit file: %w", err)
		}
		if is(state) {
			return true, nil
		}
	}
	return false, nil
}

const (
	gone      = "is gone" // deleted since
	isAlready = "is so already"
)

func (a *Adopter) undo(s *Storage, e Entry, before past) (change, error) {
	switch e.Kind {
	case ownershipKind:
		return a.undoOwnership(s, e, before)
	case classKind:
		return undoRemade(a, e, before, new(storagev1.StorageClass), new(storagev1.StorageClass), func(now, was *storagev1.StorageClass) bool {
			return equality.Semantic.DeepEqual(now.Parameters, was.Parameters)
		}, a.remakeClass)
	case volumeKind:
		return undoRemade(a, e, before, new(corev1.PersistentVolume), new(corev1.PersistentVolume), func(now, was *corev1.PersistentVolume) bool {
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

func (a *Adopter) undoOwnership(s *Storage, e Entry, states past) (change, error) {
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
		already, err := has(states, func(was *ownershipText) bool { return equalOwnership(now.Ownership, was.Ownership) })
		if already || err != nil {
			return isAlready, err
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
}](a *Adopter, e Entry, states past, before, after O, same func(now, was O) bool, remake func(ctx context.Context, now, was O) (string, error)) (change, error) {
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
		already, err := has(states, func(was *T) bool { return same(now, was) })
		if already || err != nil {
			return isAlready, err
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
		return isAlready, nil
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
