package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/actors"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// A Pod runs on a volume of the shared token, from before the install; it runs on as
// the volume changes hands.

const (
	// former is the namespace, and the class, of those days.
	former = "former"
	// formerClass names the shared token, as people wrote it.
	formerClass = `
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: ` + former + `}
provisioner: ` + cluster.DriverName + `
parameters:
  repl: "1"
  csi.storage.k8s.io/provisioner-secret-name: ` + cluster.SharedSecret + `
  csi.storage.k8s.io/provisioner-secret-namespace: kube-system
  csi.storage.k8s.io/node-publish-secret-name: ` + cluster.SharedSecret + `
  csi.storage.k8s.io/node-publish-secret-namespace: kube-system
---
apiVersion: v1
kind: Namespace
metadata: {name: ` + former + `}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: ` + former + `}
spec:
  storageClassName: ` + former + `
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
`
)

// staying is the Pod as it was before the install.
var staying running

// testShared makes the volume and the Pod. Bulkhead is not installed.
func testShared(t *testing.T) {
	token, err := stage.env.Storage.SharedToken(cluster.SharedSubject)
	if err != nil {
		t.Fatal(err)
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: cluster.SharedSecret}, StringData: map[string]string{tenancy.TokenKey: token},
	}
	if _, err := stage.compute.Client.CoreV1().Secrets("kube-system").Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	apply(t, formerClass+podOf("stays"))
	waitRunning(t, former, "stays")
	staying = lookAt(t, "stays")
}

// testAdopted has it adopted, by the commands of docs/migrate.md.
func testAdopted(t *testing.T) {
	handle := formerVolume(t)
	if owner := ownerOf(t, handle); owner != cluster.SharedSubject {
		t.Fatalf("the volume is owned by %q before, want %q", owner, cluster.SharedSubject)
	}
	stop := keepWriting(t)
	adopt := func(args ...string) {
		t.Helper()
		args = append([]string{"adopt"}, append(args, "--yes", "--kubeconfig", stage.compute.Kubeconfig,
			"--audit-file", filepath.Join(stage.dir, "adopted.jsonl"))...)
		if _, err := stage.run(t.Context(), stage.binaries.KubectlBulkhead, args...); err != nil {
			t.Fatal(err)
		}
	}
	adopt("storageclass", former)
	adopt("volume", "--all", "--from-subject", cluster.SharedSubject, "--storage-token-file", stage.env.Storage.AdminTokenFile)
	space, err := stage.compute.Client.CoreV1().Namespaces().Get(t.Context(), former, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if owner, want := ownerOf(t, handle), tenancy.Of(former, string(space.UID), nil).Subject(clusterName); owner != want {
		t.Errorf("the volume is owned by %q, want %q", owner, want)
	}
	// Without the shared Secret the namespace's own token is all that there is.
	if err := stage.compute.Client.CoreV1().Secrets("kube-system").Delete(t.Context(), cluster.SharedSecret, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	apply(t, podOf("comes"))
	waitRunning(t, former, "comes")
	written := stop()
	if now := lookAt(t, "stays"); now != staying {
		t.Errorf("the Pod that stays was %+v, is %+v", staying, now)
	}
	if read, err := os.ReadFile(staying.file); err != nil || len(written) == 0 || !bytes.Equal(read, written) {
		t.Errorf("the Pod that stays reads %d bytes of the %d that it has written: %v", len(read), len(written), err)
	}
	// The driver takes away empty folders alone.
	if err := os.Remove(staying.file); err != nil {
		t.Error(err)
	}
	// It goes as Pods go: its volume is unmounted.
	kubectl(t, "", "delete", "pod", "stays", "--namespace="+former, "--timeout=3m")
	kubectl(t, "", "delete", "namespace", former, "--timeout=5m")
	kubectl(t, "", "delete", "storageclass", former)
}

// keepWriting appends to a file in the volume, by its path in the Pod that stays, until
// stop, which returns what was written. The driver of these tests publishes a folder,
// which it takes away as it unpublishes: nothing could be opened there any more.
func keepWriting(t *testing.T) (stop func() []byte) {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	var written bytes.Buffer
	var writing sync.WaitGroup
	writing.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			line := fmt.Appendf(nil, "entry %d\n", i)
			if err := appendTo(staying.file, line); err != nil {
				t.Errorf("the Pod that stays cannot write: %v", err)
				return
			}
			written.Write(line)
			<-time.After(10 * time.Millisecond)
		}
	})
	return func() []byte {
		end()
		writing.Wait()
		return written.Bytes()
	}
}

func appendTo(path string, line []byte) error {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(line)
	return errors.Join(err, file.Close())
}

func ownerOf(t *testing.T, handle string) string {
	t.Helper()
	admin, err := actors.NewStorageAdmin(stage.env.Storage)
	if err != nil {
		t.Fatal(err)
	}
	volume, found, err := admin.Volume(t.Context(), handle)
	if err != nil || !found {
		t.Fatalf("volume %s: found %v, %v", handle, found, err)
	}
	return volume.Owner
}

func podOf(name string) string {
	return strings.NewReplacer("NAME", former, "APP", name).Replace(claimsPod)
}

func formerVolume(t *testing.T) (handle string) {
	t.Helper()
	name := kubectl(t, "", "get", "pvc", "data", "--namespace="+former, "--output=jsonpath={.spec.volumeName}")
	return kubectl(t, "", "get", "pv", name, "--output=jsonpath={.spec.csi.volumeHandle}")
}

// running is a container that runs with a volume.
type running struct {
	pod       types.UID
	container string
	restarts  int32
	// mount is /data of the container, of proc(5) mountinfo: the id of the mount, and the
	// folder, which is said to be deleted if it is.
	mount string
	// file is one in there, by a path on the machine.
	file string
}

func lookAt(t *testing.T, name string) running {
	t.Helper()
	pod, err := stage.compute.Client.CoreV1().Pods(former).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	status := pod.Status.ContainerStatuses[0]
	r := running{pod: pod.UID, container: status.ContainerID, restarts: status.RestartCount}
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, process := range processes {
		groups, err := os.ReadFile(filepath.Join(process, "cgroup"))
		if err != nil || !strings.Contains(string(groups), string(pod.UID)) {
			continue // another one, or it has ended
		}
		if mount := dataOf(process); mount != "" { // else it is the sandbox
			r.mount, r.file = mount, filepath.Join(process, "root/data/ledger")
		}
	}
	if r.mount == "" {
		t.Fatalf("no process of Pod %s has /data", name)
	}
	return r
}

// dataOf is the mount that a process has at /data, empty if there is none.
func dataOf(process string) string {
	mounts, err := os.ReadFile(filepath.Join(process, "mountinfo"))
	if err != nil {
		return "" // it has ended
	}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 4 && fields[4] == "/data" {
			return strings.Join(fields[:5], " ")
		}
	}
	return ""
}
