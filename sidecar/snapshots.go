package sidecar

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	snapshotclient "github.com/kubernetes-csi/external-snapshotter/client/v8/clientset/versioned"
	snapshotinformers "github.com/kubernetes-csi/external-snapshotter/client/v8/informers/externalversions"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// snapshotsInterval is how often a cluster without snapshots is asked whether it
// has got them.
const snapshotsInterval = 30 * time.Second

// followSnapshots watches snapshot contents as soon as the cluster has them,
// until ctx ends.
func (s *references) followSnapshots(ctx context.Context, client snapshotclient.Interface, driver string, see func(any)) {
	//nolint:errcheck,gosec // the error is that ctx has ended
	wait.PollUntilContextCancel(ctx, snapshotsInterval, true, func(ctx context.Context) (bool, error) {
		has, err := hasSnapshots(client.Discovery())
		switch {
		case err != nil:
			klog.FromContext(ctx).Error(err, "Cannot tell whether the cluster has snapshots; will try again", "after", snapshotsInterval)
		case !has:
			s.withoutSnapshots.Store(true)
		default:
			if err := s.watchContents(ctx, client, driver, see); err != nil && ctx.Err() == nil {
				klog.FromContext(ctx).Error(err, "Snapshots are not watched")
			}
		}
		return has, nil
	})
}

func hasSnapshots(client discovery.DiscoveryInterface) (bool, error) {
	resources, err := client.ServerResourcesForGroupVersion(snapshotv1.SchemeGroupVersion.String())
	if apierrors.IsNotFound(err) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("discover snapshots: %w", err)
	}
	for _, r := range resources.APIResources {
		if r.Name == contentsResource.Resource {
			return true, nil
		}
	}
	return false, nil
}

// watchContents returns once the contents that there are have been seen.
func (s *references) watchContents(ctx context.Context, client snapshotclient.Interface, driver string, see func(any)) error {
	contents := snapshotinformers.NewSharedInformerFactory(client, 0).Snapshot().V1().VolumeSnapshotContents().Informer()
	if err := contents.AddIndexers(referrerIndexers()); err != nil {
		return fmt.Errorf("index snapshot contents: %w", err)
	}
	all := &caches{ctx: ctx}
	all.add(contents, stripContent(driver), see)
	if all.err != nil {
		return all.err
	}
	s.withoutSnapshots.Store(false)
	indexer := contents.GetIndexer()
	s.contents.Store(&indexer)
	all.start()
	if !all.synced() {
		return ctx.Err()
	}
	s.contentsSynced.Store(true)
	return nil
}

// knowledge is what has been seen of the objects that refer to Secrets.
type knowledge struct {
	volumesSynced                    cache.InformerSynced
	withoutSnapshots, contentsSynced atomic.Bool
}

// complete reports whether all that there is has been seen, so that what is not
// there does not exist.
func (k *knowledge) complete() bool {
	return k.volumesSynced() && (k.withoutSnapshots.Load() || k.contentsSynced.Load())
}
