package preflight

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/libopenstorage/openstorage/api"

	"github.com/bulkhead-dev/bulkhead/storage"
)

var errNoSDK = errors.New("no address of the storage cluster")

// dial is a client of the storage cluster; done closes it.
func dial(cfg *Config) (client *storage.Client, done func(), err error) {
	if cfg.Target.SDK.Address == "" {
		return nil, nil, errNoSDK
	}
	client, err = storage.Dial(cfg.Target.SDK)
	if err != nil {
		return nil, nil, err
	}
	return client, func() { _ = client.Close() }, nil
}

const noSDK = "give the chart's values with --values, or --sdk-address"

// guestAccess asks the storage cluster without a token.
func guestAccess(ctx context.Context, cfg *Config) ([]Result, error) {
	client, done, err := dial(cfg)
	if errors.Is(err, errNoSDK) {
		return skipped(err.Error(), noSDK), nil
	}
	if err != nil {
		return nil, err
	}
	defer done()
	open, err := client.GuestAccess(ctx)
	if err != nil {
		return nil, fmt.Errorf("the storage cluster is not reached from this machine (the webhook has to): %w", err)
	}
	if open {
		return []Result{{
			Status: Failure, Found: "whoever has no token has rights on the storage cluster: guest access is on (E8)",
			Mend: "once everything has a token: issuer bootstrap --disable-guest",
		}}, nil
	}
	return ok("calls without a token are refused"), nil
}

// volumeSize of what is made, in bytes.
const volumeSize = 1 << 30

// realSnapshot makes a volume and a snapshot of it and deletes both: there are
// versions of OpenStorage that cannot delete a snapshot while guest access is off.
func realSnapshot(ctx context.Context, cfg *Config) (found []Result, err error) {
	switch {
	case !cfg.WriteTests:
		return skipped("not asked for", "--write-tests with --storage-token-file makes a volume and a snapshot of it, and deletes both"), nil
	case cfg.StorageToken == "":
		return nil, errors.New("--write-tests wants --storage-token-file")
	}
	client, done, err := dial(cfg)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, noSDK)
	}
	defer done()
	volumes := api.NewOpenStorageVolumeClient(client.Conn())
	as := storage.WithToken(ctx, cfg.StorageToken)
	name := "bulkhead-preflight-" + uuid.NewString()
	made, err := volumes.Create(as, &api.SdkVolumeCreateRequest{
		Name: name, Spec: &api.VolumeSpec{Size: volumeSize, HaLevel: 1}, Labels: map[string]string{"bulkhead.dev/preflight": "true"},
	})
	if err != nil {
		return nil, fmt.Errorf("make a volume: %w", err)
	}
	// Also if whoever ran it has stopped it.
	remove := func(what, id string) error {
		const patience = 20 * time.Second
		after, cancel := context.WithTimeout(storage.WithToken(context.WithoutCancel(ctx), cfg.StorageToken), patience)
		defer cancel()
		if _, err := volumes.Delete(after, &api.SdkVolumeDeleteRequest{VolumeId: id}); err != nil {
			return fmt.Errorf("delete the %s %s, which is still there: %w", what, id, err)
		}
		return nil
	}
	defer func() { err = errors.Join(err, remove("volume", made.GetVolumeId())) }()
	snapshot, err := volumes.SnapshotCreate(as, &api.SdkVolumeSnapshotCreateRequest{VolumeId: made.GetVolumeId(), Name: name + "-snapshot"})
	if err != nil {
		return nil, fmt.Errorf("make a snapshot: %w", err)
	}
	if err := remove("snapshot", snapshot.GetSnapshotId()); err != nil {
		return nil, err
	}
	return ok("a volume and a snapshot of it were made and deleted"), nil
}
