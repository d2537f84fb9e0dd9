package node_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
	"github.com/bulkhead-dev/bulkhead/test/node"
)

func TestMain(m *testing.M) { os.Exit(node.Main(m.Run)) }

const podTimeout = 3 * time.Minute

// One node for all, as its start is most of the time.
func TestNode(t *testing.T) {
	node.Require(t)
	ctx := t.Context()
	binaries, err := cluster.BuildNode(ctx, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	env, err := cluster.New(cluster.Config{Binaries: binaries, Address: node.Address, Out: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		env.Stop()
		if t.Failed() {
			t.Logf("logs: %s", env.Logs())
		} else if err := os.RemoveAll(env.Dir); err != nil {
			t.Error(err)
		}
	})
	if err := env.StartStorage(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := env.SetUpStorage(ctx); err != nil {
		t.Fatal(err)
	}
	c, err := env.StartControlPlane(ctx, "k14c1")
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	n, err := node.Start(ctx, env, c, binaries)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("node ready after %v", time.Since(began).Round(time.Second))

	t.Run("a Pod is reached by its Service", func(t *testing.T) { testService(ctx, t, c) })
	t.Run("the API server calls a webhook by its Service", func(t *testing.T) { testWebhook(ctx, t, c) })
	t.Run("the kubelet has a node's rights alone", func(t *testing.T) { testRights(ctx, t, c) })

	c.CSISocket = node.CSISocket
	if err := env.StartDriver(ctx, c); err != nil {
		t.Fatal(err)
	}
	if err := n.RegisterDriver(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := env.Register(ctx, c); err != nil {
		t.Fatal(err)
	}
	if err := env.Install(ctx, c); err != nil {
		t.Fatal(err)
	}
	t.Run("a Pod mounts its claim with the token of its namespace", func(t *testing.T) { testMount(ctx, t, c) })
	select {
	case err := <-env.Failed():
		t.Error(err)
	default:
	}
}

// server is a Pod that answers, behind a Service.
const server = `
apiVersion: v1
kind: Pod
metadata: {name: server, namespace: default, labels: {app: server}}
spec:
  automountServiceAccountToken: false
  containers:
    - {name: server, image: ` + node.PauseImage + `, imagePullPolicy: Never, args: [":8443"]}
---
apiVersion: v1
kind: Service
metadata: {name: server, namespace: default}
spec:
  selector: {app: server}
  ports: [{port: 443, targetPort: 8443}]
`

func testService(ctx context.Context, t *testing.T, c *cluster.Compute) {
	t.Helper()
	if err := cluster.Poll(ctx, podTimeout, func(ctx context.Context) error {
		return c.Apply(ctx, []byte(server)) // once the namespace has its ServiceAccount
	}); err != nil {
		t.Fatal(err)
	}
	waitRunning(ctx, t, c, "default", "server")
	service, err := c.Client.CoreV1().Services("default").Get(ctx, "server", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	err = cluster.Poll(ctx, podTimeout, func(ctx context.Context) error {
		connection, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", net.JoinHostPort(service.Spec.ClusterIP, "443"))
		if err != nil {
			return err
		}
		defer func() { _ = connection.Close() }()
		said, err := io.ReadAll(connection)
		if err == nil && string(said) != ":8443\n" {
			err = fmt.Errorf("it says %q", said)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// testWebhook sees that the API server reaches the Pod by what it says of the
// answer: the Pod does not speak TLS.
func testWebhook(ctx context.Context, t *testing.T, c *cluster.Compute) {
	t.Helper()
	const configuration = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: server}
webhooks:
  - name: server.bulkhead.test
    admissionReviewVersions: [v1]
    sideEffects: None
    failurePolicy: Fail
    clientConfig: {service: {name: server, namespace: default}}
    objectSelector: {matchLabels: {asked: "true"}}
    rules: [{apiGroups: [""], apiVersions: [v1], resources: [configmaps], operations: [CREATE]}]
`
	if err := c.Apply(ctx, []byte(configuration)); err != nil {
		t.Fatal(err)
	}
	err := cluster.Poll(ctx, podTimeout, func(ctx context.Context) error {
		asked := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "asked-", Labels: map[string]string{"asked": "true"}}}
		_, err := c.Client.CoreV1().ConfigMaps("default").Create(ctx, asked, metav1.CreateOptions{})
		if err == nil {
			return errors.New("the webhook was not called")
		}
		if !strings.Contains(err.Error(), "does not look like a TLS handshake") {
			return err
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if err := c.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Delete(ctx, "server", metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
}

// testRights acts with the kubelet's own credential.
func testRights(ctx context.Context, t *testing.T, c *cluster.Compute) {
	t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "of-no-pod-here", Namespace: "default"}}
	if _, err := c.Client.CoreV1().Secrets("default").Create(ctx, secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	kubelet := clientOf(t, filepath.Join(filepath.Dir(c.Kubeconfig), "kubelet.kubeconfig"))
	if _, err := kubelet.CoreV1().Secrets("default").Get(ctx, secret.Name, metav1.GetOptions{}); err == nil || !strings.Contains(err.Error(), "no relationship found between node") {
		t.Errorf("a Secret that no Pod of the node names: %v", err)
	}
	other := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "another"}}
	if _, err := kubelet.CoreV1().Nodes().Create(ctx, other, metav1.CreateOptions{}); err == nil || !strings.Contains(err.Error(), "is not allowed to") {
		t.Errorf("a node of another name: %v", err)
	}
}

func testMount(ctx context.Context, t *testing.T, c *cluster.Compute) {
	t.Helper()
	const claim = `
apiVersion: v1
kind: Namespace
metadata: {name: team}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: px}
provisioner: pxd.portworx.com
parameters: {repl: "1"}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: team}
spec:
  storageClassName: px
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
`
	const pod = `
---
apiVersion: v1
kind: Pod
metadata: {name: NAME, namespace: team}
spec:
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 1
  containers:
    - name: app
      image: ` + node.PauseImage + `
      imagePullPolicy: Never
      volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
`
	if err := cluster.Poll(ctx, podTimeout, func(ctx context.Context) error {
		return c.Apply(ctx, []byte(claim+strings.ReplaceAll(pod, "NAME", "app")))
	}); err != nil {
		t.Fatal(err)
	}
	waitRunning(ctx, t, c, "team", "app")
	bound, err := c.Client.CoreV1().PersistentVolumeClaims("team").Get(ctx, "data", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	volume, err := c.Client.CoreV1().PersistentVolumes().Get(ctx, bound.Spec.VolumeName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if source := volume.Spec.CSI; source == nil || source.NodePublishSecretRef == nil || source.NodePublishSecretRef.Namespace != c.Layout.TokenNamespace {
		t.Errorf("the volume was not mounted with a token Secret: %+v", source)
	}
	if t.Failed() {
		return
	}

	// The content of that Secret opens the volume: another Pod waits for it.
	c.Sidecar.Freeze()
	defer c.Sidecar.Thaw()
	ref := volume.Spec.CSI.NodePublishSecretRef
	secrets := c.Client.CoreV1().Secrets(ref.Namespace)
	token, err := secrets.Get(ctx, ref.Name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := secrets.Delete(ctx, ref.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.Apply(ctx, []byte(strings.ReplaceAll(pod, "NAME", "second"))); err != nil {
		t.Fatal(err)
	}
	err = cluster.Poll(ctx, podTimeout, func(ctx context.Context) error {
		said := events(ctx, c, "team", "second")
		if !strings.Contains(said, ref.Name+"\" not found") {
			return fmt.Errorf("it does not miss the Secret:%s", said)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	token.ResourceVersion = ""
	if _, err := secrets.Create(ctx, token, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	waitRunning(ctx, t, c, "team", "second")
}

func waitRunning(ctx context.Context, t *testing.T, c *cluster.Compute, namespace, name string) {
	t.Helper()
	err := cluster.Poll(ctx, podTimeout, func(ctx context.Context) error {
		pod, err := c.Client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if pod.Status.Phase != corev1.PodRunning {
			return fmt.Errorf("Pod %s is %s: %v%s", name, pod.Status.Phase, pod.Status.ContainerStatuses, events(ctx, c, namespace, name))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// events are those of a Pod, one a line.
func events(ctx context.Context, c *cluster.Compute, namespace, name string) string {
	list, err := c.Client.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.name=" + name})
	if err != nil {
		return err.Error()
	}
	var text strings.Builder
	for _, event := range list.Items {
		fmt.Fprintf(&text, "\n%s: %s", event.Reason, event.Message)
	}
	return text.String()
}
