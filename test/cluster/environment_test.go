package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// crashVariable makes the test binary start an environment in the folder it
// names and wait for its end.
const crashVariable = "BULKHEAD_TEST_CRASH"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashVariable); dir != "" {
		if err := holdUntilKilled(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func holdUntilKilled(dir string) error {
	ctx := context.Background()
	binaries, err := Build(ctx, os.Stdout)
	if err != nil {
		return err
	}
	env, err := New(Config{Dir: dir, Binaries: binaries, Out: os.Stdout})
	if err != nil {
		return err
	}
	defer env.Stop()
	if err := env.StartStorage(ctx); err != nil {
		return err
	}
	if _, err := env.StartCompute(ctx, "k14c1"); err != nil {
		return err
	}
	return <-env.Failed()
}

func TestNothingOutlivesAKilledParent(t *testing.T) {
	if _, err := Build(t.Context(), t.Output()); err != nil {
		t.Fatal(err)
	}
	// At random moments of a start, which takes some four seconds.
	for range 3 {
		delay := time.Duration(rand.Int64N(int64(4 * time.Second)))
		t.Run("after "+delay.String(), func(t *testing.T) {
			dir := shortTempDir(t)
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), crashVariable+"="+dir)
			cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			some := func(want bool) func(context.Context) error {
				return func(context.Context) error {
					left, err := Leftovers(dir)
					if err == nil && len(left) > 0 != want {
						err = fmt.Errorf("%d processes run", len(left))
					}
					return err
				}
			}
			// The moment counts from the first process, or nothing would be tested.
			if err := Poll(t.Context(), readyTimeout, some(true)); err != nil {
				t.Error(err)
			}
			<-time.After(delay)
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
			if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
				t.Errorf("the parent was not killed: %v", err)
			}
			if err := Poll(t.Context(), 10*time.Second, some(false)); err != nil {
				t.Error(err)
			}
		})
	}
}

// shortTempDir is a folder that is deleted after the test, with a path short
// enough for sockets: the folder that New else makes for them would stay when
// the environment is killed.
func shortTempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bulkhead-test-") //nolint:usetesting // t.TempDir has the test's name in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestAnEnvironmentServesATenantAndLeavesNothing(t *testing.T) {
	ctx := t.Context()
	binaries, err := Build(ctx, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	env, err := New(Config{Dir: t.TempDir(), Binaries: binaries, Out: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(env.Stop)
	if err := env.StartStorage(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := env.SetUpStorage(ctx); err != nil {
		t.Fatal(err)
	}
	c, err := env.StartCompute(ctx, "k14c1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := env.StartCompute(ctx, "k14c1"); err == nil {
		t.Error("two compute clusters have one name")
	}
	if _, err := env.Register(ctx, c); err != nil {
		t.Fatal(err)
	}
	if err := env.Install(ctx, c); err != nil {
		t.Fatal(err)
	}
	makeClaim(ctx, t, c, "first")

	c.Webhook.Kill()
	if err := c.Webhook.Start(ctx); err != nil {
		t.Fatal(err)
	}
	c.Sidecar.Stop()
	if err := c.Sidecar.Start(ctx); err != nil {
		t.Fatal(err)
	}
	makeClaim(ctx, t, c, "second")

	select {
	case err := <-env.Failed():
		t.Error(err)
	default:
	}
	env.Stop()
	env.Stop()
	left, err := Leftovers(env.Dir)
	if err != nil || len(left) > 0 {
		t.Errorf("processes left: %v, %v", left, err)
	}
}

// makeClaim makes a namespace with a claim in it and waits until it is bound.
func makeClaim(ctx context.Context, t *testing.T, c *Compute, namespace string) {
	t.Helper()
	manifests := strings.ReplaceAll(`
apiVersion: v1
kind: Namespace
metadata: {name: NAMESPACE}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: px}
provisioner: pxd.portworx.com
parameters: {repl: "1"}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: NAMESPACE}
spec:
  storageClassName: px
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
`, "NAMESPACE", namespace)
	if err := c.Apply(ctx, []byte(manifests)); err != nil {
		t.Fatal(err)
	}
	err := Poll(ctx, readyTimeout, func(ctx context.Context) error {
		claim, err := c.Client.CoreV1().PersistentVolumeClaims(namespace).Get(ctx, "data", metav1.GetOptions{})
		if err == nil && claim.Status.Phase != corev1.ClaimBound {
			err = errors.New("the claim is " + string(claim.Status.Phase))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
