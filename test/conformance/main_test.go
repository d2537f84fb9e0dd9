// Package conformance pins what the storage cluster makes of a token: a table of
// good and forged tokens, each judged by the real storage server and never by a
// verifier of ours. Where the server is laxer than one would want the case says
// so: these are facts that the issuer has to live with.
package conformance

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/libopenstorage/openstorage/api"

	"github.com/bulkhead-dev/bulkhead/storage"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// The stage: a storage cluster, a volume on it, and its owner.
var (
	binaries *cluster.Binaries
	server   *cluster.Storage
	client   *storage.Client
	// ledger is the id of the volume that the tokens of the table are after, and
	// owner the subject that made it.
	ledger string
)

const owner = "shop.8f3c6a52-7d1e-4b0c-9a54-2f1d0c3b4e5f@k14c1"

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	dir, err := os.MkdirTemp("", "bulkhead-conformance-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "set the stage:", err)
		return 1
	}
	env, err := set(ctx, dir)
	if env != nil {
		defer env.Stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "set the stage:", err)
		return 1
	}
	code := m.Run()
	select {
	case err := <-env.Failed():
		fmt.Fprintln(os.Stderr, "a component ended by itself:", err)
		code = 1
	default:
	}
	if code != 0 {
		fmt.Fprintln(os.Stderr, "logs of every component:", env.Logs())
		return code
	}
	env.Stop()
	_ = os.RemoveAll(dir)
	return 0
}

// set starts the storage cluster with every issuer of the table and makes the
// owner's volume.
func set(ctx context.Context, dir string) (*cluster.Environment, error) {
	var err error
	if binaries, err = cluster.Build(ctx, os.Stderr); err != nil {
		return nil, err
	}
	flags, err := makeSelfSigned(dir)
	if err != nil {
		return nil, err
	}
	env, err := cluster.New(cluster.Config{Dir: filepath.Join(dir, "run"), Binaries: binaries, SelfSigned: flags})
	if err != nil {
		return nil, err
	}
	if err := env.StartStorage(ctx); err != nil {
		return env, err
	}
	if _, err := env.SetUpStorage(ctx); err != nil {
		return env, err
	}
	server = env.Storage
	if client, err = server.Dial(); err != nil {
		return env, err
	}
	if err := readIssuerKeys(env); err != nil {
		return env, err
	}
	token := oidc.draft().token()
	made, err := api.NewOpenStorageVolumeClient(client.Conn()).Create(storage.WithToken(ctx, token), &api.SdkVolumeCreateRequest{
		Name: "ledger", Spec: &api.VolumeSpec{Size: 1 << 20, HaLevel: 1},
	})
	if err != nil {
		return env, fmt.Errorf("make the owner's volume: %w", err)
	}
	ledger = made.GetVolumeId()
	return env, nil
}
