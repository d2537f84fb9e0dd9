package cluster

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// serviceAccountIssuer is what kubeadm gives every cluster, so that `iss` tells
// compute clusters apart no better here than at a user's.
const serviceAccountIssuer = "https://kubernetes.default.svc.cluster.local"

// serviceRange holds the addresses of Services; the first is that of the Service
// "kubernetes".
const (
	serviceRange   = "10.96.0.0/16"
	firstServiceIP = "10.96.0.1"
)

// startControlPlane starts etcd, the API server and the controller manager, and
// fills in the clients of c.
func (e *Environment) startControlPlane(ctx context.Context, c *Compute) error {
	began := time.Now()
	ports, err := freePorts.pick(3)
	if err != nil {
		return err
	}
	c.etcd = "http://" + loopback(ports[0])
	if err := e.startEtcd(ctx, c, "http://"+loopback(ports[1])); err != nil {
		return err
	}
	c.server = "https://" + e.at(ports[2])
	accountKey, err := e.startAPIServer(ctx, c, ports[2])
	if err != nil {
		return err
	}
	if err := e.startControllerManager(ctx, c, accountKey); err != nil {
		return err
	}
	version, err := c.Client.Discovery().ServerVersion()
	if err != nil {
		return fmt.Errorf("ask %s for its version: %w", c.Name, err)
	}
	c.Version = version.GitVersion
	e.started(c.Name+": Kubernetes "+c.Version+" at "+c.server, began)
	return nil
}

func (e *Environment) startEtcd(ctx context.Context, c *Compute, peers string) error {
	_, err := e.supervisor.start(ctx, spec{
		name: c.Name + "-etcd", path: e.cfg.Binaries.Etcd,
		abrupt: true, // its data goes with it
		args: []string{
			"--name=" + c.Name,
			"--data-dir=" + c.dir.path("etcd"),
			"--listen-client-urls=" + c.etcd, "--advertise-client-urls=" + c.etcd,
			"--listen-peer-urls=" + peers, "--initial-advertise-peer-urls=" + peers,
			"--initial-cluster=" + c.Name + "=" + peers,
			// The data need not outlive the machine, and syncing is most of the cost.
			"--unsafe-no-fsync",
			"--log-level=warn",
		},
		ready: httpOK(c.etcd + "/readyz"),
	})
	return err
}

// startAPIServer returns the file with the private key of ServiceAccounts.
func (e *Environment) startAPIServer(ctx context.Context, c *Compute, port int) (accountKey string, err error) {
	if c.authority, err = newAuthority(c.Name); err != nil {
		return "", err
	}
	caFile, err := c.dir.write("ca.pem", c.authority.pem)
	if err != nil {
		return "", err
	}
	certPEM, keyPEM, err := c.authority.server("kubernetes.default.svc", firstServiceIP, e.cfg.Address)
	if err != nil {
		return "", err
	}
	certFile, err := c.dir.write("apiserver.pem", certPEM)
	if err != nil {
		return "", err
	}
	keyFile, err := c.dir.write("apiserver-key.pem", keyPEM)
	if err != nil {
		return "", err
	}
	signer, err := newServiceAccountKey()
	if err != nil {
		return "", err
	}
	signerPEM, err := privatePEM(signer)
	if err != nil {
		return "", err
	}
	if accountKey, err = c.dir.write("service-account-key.pem", signerPEM); err != nil {
		return "", err
	}
	publicKeyPEM, err := publicPEM(signer)
	if err != nil {
		return "", err
	}
	publicFile, err := c.dir.write("service-account.pem", publicKeyPEM)
	if err != nil {
		return "", err
	}
	policyFile, err := c.dir.write("audit-policy.yaml", []byte(auditPolicy))
	if err != nil {
		return "", err
	}
	kubeletCert, kubeletKey, err := c.clientFiles("apiserver-kubelet", "kube-apiserver-kubelet-client", "system:masters")
	if err != nil {
		return "", err
	}
	if err := c.makeAdmin(); err != nil {
		return "", err
	}
	reconciler := "lease"
	if net.ParseIP(e.cfg.Address).IsLoopback() {
		reconciler = "none" // endpoints must not be on loopback
	}
	_, err = e.supervisor.start(ctx, spec{
		name: c.Name + "-apiserver", path: e.cfg.Binaries.KubeAPIServer,
		abrupt: true, // draining its connections takes it over ten seconds
		args: []string{
			"--etcd-servers=" + c.etcd,
			"--bind-address=" + e.cfg.Address, "--advertise-address=" + e.cfg.Address,
			"--secure-port=" + strconv.Itoa(port),
			"--endpoint-reconciler-type=" + reconciler,
			"--service-cluster-ip-range=" + serviceRange,
			"--kubelet-client-certificate=" + kubeletCert, "--kubelet-client-key=" + kubeletKey,
			"--kubelet-preferred-address-types=InternalIP",
			"--tls-cert-file=" + certFile, "--tls-private-key-file=" + keyFile,
			"--client-ca-file=" + caFile,
			"--service-account-issuer=" + serviceAccountIssuer,
			"--service-account-signing-key-file=" + accountKey,
			"--service-account-key-file=" + publicFile,
			"--authorization-mode=Node,RBAC",
			"--enable-admission-plugins=NodeRestriction",
			// Without it the API server drops dataSourceRef.namespace in silence,
			// and a clone across namespaces would seem to be stopped by us.
			"--feature-gates=CrossNamespaceVolumeDataSource=true",
			"--audit-policy-file=" + policyFile, "--audit-log-path=" + c.auditLog(),
			"--audit-log-maxsize=" + strconv.Itoa(maxAuditLog),
			"--profiling=false",
		},
		ready: func(ctx context.Context) error {
			var status int
			err := c.Client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).StatusCode(&status).Error()
			if err == nil && status != http.StatusOK {
				err = fmt.Errorf("readyz: HTTP status %d", status)
			}
			return err
		},
	})
	return accountKey, err
}

// makeAdmin makes the kubeconfig of an admin and the clients that use it.
func (c *Compute) makeAdmin() error {
	var err error
	if c.Kubeconfig, err = c.UserKubeconfig("admin", "bulkhead-admin", "system:masters"); err != nil {
		return err
	}
	if c.config, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig); err != nil {
		return fmt.Errorf("kubeconfig of %s: %w", c.Name, err)
	}
	// The default of 5 a second would make the steps of a test wait for each other.
	c.config.QPS, c.config.Burst = 200, 400
	if c.Client, err = kubernetes.NewForConfig(c.config); err != nil {
		return fmt.Errorf("client of %s: %w", c.Name, err)
	}
	return nil
}

func (e *Environment) startControllerManager(ctx context.Context, c *Compute, accountKey string) error {
	kubeconfig, err := c.UserKubeconfig("controller-manager", "system:kube-controller-manager")
	if err != nil {
		return err
	}
	_, err = e.supervisor.start(ctx, spec{
		name: c.Name + "-controller-manager", path: e.cfg.Binaries.KubeControllerManager,
		args: []string{
			"--kubeconfig=" + kubeconfig,
			"--use-service-account-credentials",
			"--service-account-private-key-file=" + accountKey,
			"--root-ca-file=" + c.CAFile(),
			"--leader-elect=false",
			// The default of 20 a second is what a start of all controllers waits for.
			"--kube-api-qps=200", "--kube-api-burst=400",
			"--secure-port=0", // nobody asks it anything
			"--profiling=false",
		},
		// It works once it has given a namespace its ServiceAccount.
		ready: func(ctx context.Context) error {
			_, err := c.Client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return fmt.Errorf("it has not worked yet: %w", err)
			}
			return err
		},
	})
	return err
}
