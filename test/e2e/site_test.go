package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
	"github.com/bulkhead-dev/bulkhead/test/node"
)

const (
	clusterName = "k14c1"

	issuerNamespace = "bulkhead-issuer"
	namespace       = "bulkhead-system"

	// issuerAddress is that of the issuer's Service: its URL must be known before
	// the install, and there are no names in this cluster.
	issuerAddress = "10.96.0.50"
	issuerURL     = "https://" + issuerAddress

	image = "ghcr.io/bulkhead-dev/bulkhead"

	// firstVersion of the chart is what is there before any upgrade.
	firstVersion = "0.0.1"

	// trustDelay is how long a new CA of the webhook is trusted before it signs.
	trustDelay = 10 * time.Second
)

// site is a storage cluster on the machine, beside the one node of a compute
// cluster which has the issuer and Bulkhead in it.
type site struct {
	env      *cluster.Environment
	compute  *cluster.Compute
	node     *node.Node
	binaries *cluster.Binaries
	dir      string
	// ready is how long the install of charts/bulkhead took until all was ready.
	ready time.Duration
}

func newSite(ctx context.Context, env *cluster.Environment, binaries *cluster.Binaries) (*site, error) {
	s := &site{env: env, binaries: binaries, dir: filepath.Join(env.Dir, "e2e")}
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		return nil, err
	}
	var err error
	if s.compute, err = env.StartControlPlane(ctx, clusterName); err != nil {
		return nil, err
	}
	if s.node, err = node.Start(ctx, env, s.compute, binaries); err != nil {
		return nil, err
	}
	// The tag that the charts want by themselves.
	version, err := chartVersion(binaries.Root)
	if err != nil {
		return nil, err
	}
	if err := s.node.Build(ctx, node.Image{Name: image + ":" + version, Packages: "./cmd/..."}); err != nil {
		return nil, err
	}
	if err := s.installIssuer(ctx); err != nil {
		return nil, err
	}
	if err := s.startStorage(ctx); err != nil {
		return nil, err
	}
	first, err := s.pack(ctx, "bulkhead", firstVersion)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := s.installFrom(ctx, first, nil); err != nil {
		return nil, err
	}
	s.ready = time.Since(began)
	return s, nil
}

func chartVersion(root string) (string, error) {
	raw, err := os.ReadFile(filepath.Join(root, "charts/bulkhead/Chart.yaml"))
	if err != nil {
		return "", err
	}
	var chart struct {
		AppVersion string `json:"appVersion"`
	}
	if err := yaml.Unmarshal(raw, &chart); err != nil {
		return "", fmt.Errorf("read Chart.yaml: %w", err)
	}
	return chart.AppVersion, nil
}

// installIssuer does what the storage admin does: address, certificate, policy,
// chart.
func (s *site) installIssuer(ctx context.Context) error {
	if _, err := s.compute.Client.CoreV1().Namespaces().Create(ctx,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: issuerNamespace}}, metav1.CreateOptions{}); err != nil {
		return err
	}
	certPEM, keyPEM, err := s.compute.ServerCertificate(issuerAddress)
	if err != nil {
		return err
	}
	if _, err := s.compute.Client.CoreV1().Secrets(issuerNamespace).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "issuer-tls"}, Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{corev1.TLSCertKey: certPEM, corev1.TLSPrivateKeyKey: keyPEM},
	}, metav1.CreateOptions{}); err != nil {
		return err
	}
	entry, err := s.run(ctx, s.binaries.KubectlBulkhead, "register", clusterName, "--kubeconfig", s.compute.Kubeconfig)
	if err != nil {
		return err
	}
	var clusters []any
	if err := yaml.Unmarshal(entry, &clusters); err != nil {
		return fmt.Errorf("read what register prints: %w", err)
	}
	return s.helm(ctx, "bulkhead-issuer", s.chart("bulkhead-issuer"), issuerNamespace, s.issuerValues(clusters))
}

// issuerValues are those of the issuer's chart, for the compute clusters that are
// registered. The storage cluster is known once it runs.
func (s *site) issuerValues(clusters []any) map[string]any {
	values := map[string]any{
		"url": issuerURL, "tls": map[string]any{"secretName": "issuer-tls"},
		"service": map[string]any{"clusterIP": issuerAddress},
		"policy":  map[string]any{"storageCluster": cluster.StorageID, "clusters": clusters},
	}
	if s.env.Storage != nil {
		values["storage"] = map[string]any{"endpoints": []string{s.env.Storage.SDKAddress}, "tls": false}
	}
	return values
}

// startStorage starts the storage cluster, which trusts the issuer, and its driver
// on the node.
func (s *site) startStorage(ctx context.Context) error {
	// The storage cluster ends where its issuer does not answer yet.
	if err := cluster.Poll(ctx, time.Minute, s.askIssuer); err != nil {
		return fmt.Errorf("wait for the issuer: %w", err)
	}
	if err := s.env.StartStorageFor(ctx, issuerURL, s.compute.CAFile()); err != nil {
		return err
	}
	if _, err := s.env.SetUpStorage(ctx); err != nil {
		return err
	}
	s.compute.CSISocket = node.CSISocket
	if err := s.env.StartDriver(ctx, s.compute); err != nil {
		return err
	}
	return s.node.RegisterDriver(ctx)
}

func (s *site) askIssuer(ctx context.Context) error {
	ca, err := os.ReadFile(s.compute.CAFile())
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	client := &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true},
		Timeout:   time.Second,
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, issuerURL+"/.well-known/openid-configuration", nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("it answers %s", answer.Status)
	}
	return errors.Join(err, answer.Body.Close())
}

// install does what the cluster admin does with the chart of this checkout, the
// second time an upgrade; values are laid over those that this site needs.
func (s *site) install(ctx context.Context, values map[string]any) error {
	return s.installFrom(ctx, s.chart("bulkhead"), values)
}

func (s *site) installFrom(ctx context.Context, chart string, values map[string]any) error {
	ca, err := os.ReadFile(s.compute.CAFile())
	if err != nil {
		return err
	}
	s.compute.Layout = tenancy.Layout{
		Placement: tenancy.Central, TokenNamespace: "bulkhead-tokens", Template: "bulkhead-" + tenancy.Placeholder,
	}
	return s.helm(ctx, "bulkhead", chart, namespace, s.values(string(ca)), values)
}

// values are those that this site needs.
func (s *site) values(caBundle string) map[string]any {
	return map[string]any{
		"issuer": map[string]any{"url": issuerURL, "caBundle": caBundle},
		"storage": map[string]any{
			"cluster": s.env.Storage.ID,
			"sdk":     map[string]any{"address": s.env.Storage.SDKAddress, "tls": false},
		},
		"provisioner": map[string]any{"serviceAccounts": []string{"portworx/px-csi"}},
		// Minutes, by default: longer than an API server lags behind. This one does not.
		"webhook": map[string]any{"certificates": map[string]any{"self": map[string]any{"trustDelay": trustDelay.String()}}},
	}
}
