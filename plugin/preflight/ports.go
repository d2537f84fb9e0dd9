package preflight

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
)

// ports of storage nodes that no Pod needs: by the management API volumes of
// anybody can be attached without a token, and the key-value store holds who owns
// what (E9, E11).
var ports = []string{"9001", "9020", "9021", "2379"}

const mendPorts = "keep Pods from these ports: a NetworkPolicy, or the nodes' firewall; those with the driver need them"

// storagePorts tries them from a Pod, which is where tenants are.
func storagePorts(ctx context.Context, cfg *Config) (found []Result, err error) {
	if len(cfg.StorageNodes) == 0 || cfg.ProbeImage == "" {
		return skipped("not asked for", "--storage-node for each node of the storage cluster, and --probe-image with Bulkhead's image: a Pod tries their ports"), nil
	}
	var targets []string
	for _, node := range cfg.StorageNodes {
		for _, port := range ports {
			targets = append(targets, net.JoinHostPort(node, port))
		}
	}
	pods := cfg.Client.CoreV1().Pods(cfg.ProbeNamespace)
	pod, err := pods.Create(ctx, probe(cfg.ProbeImage, targets), metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("run a Pod to try the ports from: %w", err)
	}
	defer func() {
		const patience = 20 * time.Second
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		if deleting := pods.Delete(after, pod.Name, metav1.DeleteOptions{}); deleting != nil {
			err = errors.Join(err, fmt.Errorf("delete Pod %s/%s, which is still there: %w", cfg.ProbeNamespace, pod.Name, deleting))
		}
	}()
	err = wait.PollUntilContextCancel(ctx, time.Second, true, func(ctx context.Context) (bool, error) {
		is, err := pods.Get(ctx, pod.Name, metav1.GetOptions{})
		if err != nil {
			return false, err //nolint:wrapcheck // below
		}
		return is.Status.Phase == corev1.PodSucceeded || is.Status.Phase == corev1.PodFailed, nil
	})
	if err != nil {
		return nil, fmt.Errorf("wait for the Pod that tries the ports: %w", err)
	}
	const most = 1 << 20 // bytes; the image may be anybody's
	text, err := pods.GetLogs(pod.Name, &corev1.PodLogOptions{LimitBytes: new(int64(most))}).DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("read what the Pod that tries the ports found: %w", err)
	}
	return judgePorts(string(text), targets), nil
}

// judgePorts reads "<target> open" and "<target> closed".
func judgePorts(log string, targets []string) []Result {
	var open, unknown []string
	for _, target := range targets {
		switch {
		case strings.Contains(log, target+" open\n"):
			open = append(open, target)
		case !strings.Contains(log, target+" closed\n"):
			unknown = append(unknown, target)
		}
	}
	var found []Result
	if len(open) > 0 {
		found = append(found, Result{Status: Failure, Found: "a Pod reaches " + strings.Join(open, ", "), Mend: mendPorts})
	}
	if len(unknown) > 0 {
		found = append(found, Result{Status: Failure, Found: "the Pod did not tell of " + strings.Join(unknown, ", "), Mend: "is the image Bulkhead's, and of this version?"})
	}
	if len(found) == 0 {
		return ok("a Pod reaches none of %d ports", len(targets))
	}
	return found
}

// probe is a Pod that any namespace admits, with no rights.
func probe(image string, targets []string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "bulkhead-preflight-", Labels: map[string]string{"app.kubernetes.io/name": "bulkhead-preflight"}},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, AutomountServiceAccountToken: new(false), ActiveDeadlineSeconds: new(int64(checkTimeout / time.Second)),
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: new(true), RunAsUser: new(int64(65532)), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}, //nolint:mnd // nobody's
			},
			Containers: []corev1.Container{{
				Name: "probe", Image: image, Command: append([]string{"/bulkhead/sidecar", "try-ports"}, targets...),
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		},
	}
}
