// Package leaks shows that a node leaves nothing on the machine, whichever way its
// run ends. It is a package of its own, as it must look from outside.
package leaks

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
	"github.com/bulkhead-dev/bulkhead/test/node"
)

const (
	// runVariable makes the test binary run a node: see hold and ends.
	runVariable = "BULKHEAD_TEST_NODE"
	hold        = "hold" // until it is killed
	end         = "end"  // at once, without having started one

	// holding is what it says when a Pod runs.
	holding = "a Pod runs"
	timeout = 2 * time.Minute
)

func TestMain(m *testing.M) {
	switch os.Getenv(runVariable) {
	case hold:
		os.Exit(node.Main(func() int {
			err := runPod(context.Background())
			fmt.Fprintln(os.Stderr, err)
			return 1
		}))
	case end:
		os.Exit(node.Main(func() int { return 0 }))
	}
	os.Exit(m.Run())
}

// runPod runs a Pod on a node and returns when something fails.
func runPod(ctx context.Context) error {
	binaries, err := cluster.BuildNode(ctx, io.Discard)
	if err != nil {
		return err
	}
	env, err := cluster.New(cluster.Config{Binaries: binaries, Address: node.Address, Dir: os.Getenv(cluster.RunVariable)})
	if err != nil {
		return err
	}
	c, err := env.StartControlPlane(ctx, "k14c1")
	if err != nil {
		return err
	}
	if _, err := node.Start(ctx, env, c, binaries); err != nil {
		return err
	}
	const pod = `
apiVersion: v1
kind: Pod
metadata: {name: app, namespace: default}
spec:
  containers: [{name: app, image: ` + node.PauseImage + `, imagePullPolicy: Never}]
`
	err = cluster.Poll(ctx, timeout, func(ctx context.Context) error {
		if err := c.Apply(ctx, []byte(pod)); err != nil {
			return err
		}
		running, err := c.Client.CoreV1().Pods("default").Get(ctx, "app", metav1.GetOptions{})
		if err == nil && running.Status.Phase != corev1.PodRunning {
			err = errors.New("the Pod is " + string(running.Status.Phase))
		}
		return err
	})
	if err != nil {
		return err
	}
	fmt.Println(holding)
	return <-env.Failed()
}

func TestNothingOutlivesAKilledRun(t *testing.T) {
	node.Require(t)
	dir := t.TempDir() // of the run, and for temporary files
	before := machine(t)

	cmd := start(t, dir, hold)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() && lines.Text() != holding {
		t.Log(lines.Text())
	}
	if lines.Text() != holding {
		t.Fatalf("no Pod ran: %v", cmd.Wait())
	}
	if held := machine(t); held == before {
		t.Error("a node that runs cannot be seen: this test would see no leak either")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the run was not killed: %v", err)
	}
	// What the kernel does is done soon; the rest is for the next run.
	err = cluster.Poll(t.Context(), timeout, func(context.Context) error {
		left, err := cluster.Leftovers(dir)
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("%d processes run", len(left))
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if out, err := start(t, dir, end).CombinedOutput(); err != nil {
		t.Errorf("the next run: %v\n%s", err, out)
	}
	if after := machine(t); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "bulkhead-node-*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func start(t *testing.T, dir, what string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), runVariable+"="+what, cluster.RunVariable+"="+dir, "TMPDIR="+dir)
	cmd.Stderr = nil
	return cmd
}

// machine is what a node could leave on the machine: mounts, network interfaces,
// nftables, cgroups, settings, folders of its parts, and processes of Pods.
func machine(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	text.Write(mounts)
	for _, command := range [][]string{{"ip", "-brief", "link"}, {"nft", "list", "ruleset"}} {
		out, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput()
		if err != nil && !errors.Is(err, exec.ErrNotFound) { // not installed before the first run
			t.Fatalf("%v: %v: %s", command, err, out)
		}
		text.Write(out)
	}
	for _, pattern := range []string{
		"/sys/fs/cgroup/bulkhead-node", "/sys/fs/cgroup/*/bulkhead-node",
		"/var/lib/kubelet", "/var/lib/containerd", "/var/lib/cni", "/var/log/pods", "/var/log/containers",
		"/run/containerd", "/run/cni*", "/run/netns", "/run/flannel",
	} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&text, strings.Join(found, "\n"))
	}
	for _, setting := range []string{
		"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward",
		"kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes", "net/bridge/bridge-nf-call-iptables",
	} {
		value, err := os.ReadFile(filepath.Join("/proc/sys", setting))
		fmt.Fprintf(&text, "%s: %s %v\n", setting, value, err)
	}
	programs, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range programs {
		path, err := os.Readlink(program)
		if name := filepath.Base(path); err == nil && (strings.HasPrefix(name, "containerd") || name == "pause") {
			fmt.Fprintln(&text, name)
		}
	}
	return text.String()
}
