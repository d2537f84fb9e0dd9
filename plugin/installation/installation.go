// Package installation reads how Bulkhead is set up in a compute cluster, from
// what the chart left there for kubectl bulkhead.
package installation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/exchange"
	"github.com/bulkhead-dev/bulkhead/internal/flags"
	"github.com/bulkhead-dev/bulkhead/storage"
	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/webhook"
)

// Names of what the chart makes in the namespace of the release.
const (
	// DefaultNamespace is where the documents say to install it.
	DefaultNamespace = "bulkhead-system"
	// ConfigMapName holds the flags by which the webhook runs, a YAML list under
	// flagsKey, and under versionKey the version of the chart's application.
	ConfigMapName = "bulkhead-installation"
	flagsKey      = "flags"
	versionKey    = "version"

	issuerCAName = "bulkhead-issuer-ca"
	sdkCAName    = "bulkhead-sdk-ca"
	caKey        = "ca.crt"
)

// ErrNotInstalled says that the namespace holds no Bulkhead.
var ErrNotInstalled = errors.New("no Bulkhead is installed")

// Installation is how Bulkhead is set up in a compute cluster.
type Installation struct {
	// Namespace of the release.
	Namespace string
	// Version of Bulkhead, as the chart says it.
	Version string
	// Issuer is how its parts ask for tokens. The CA file is a copy on this
	// machine; the credential file is the Pods'.
	Issuer exchange.Config
	// Storage is the SDK of the storage cluster, as the Pods reach it. The CA file
	// is a copy on this machine.
	Storage storage.Endpoint
	// Layout says where the token Secrets lie.
	Layout tenancy.Layout
	// Rules is the configuration of the webhook as far as rules read it: drivers,
	// provisioners, the sidecar's account and the policy.
	Rules webhook.Config

	// cluster is the name of the compute cluster as the sidecar says it, empty if it
	// does not.
	cluster string
	// copies are the files that Close removes.
	copies []string
}

// Read reads what the chart left in the namespace. The error wraps
// ErrNotInstalled if there is nothing. Close the Installation in the end.
func Read(ctx context.Context, client kubernetes.Interface, namespace string) (*Installation, error) {
	configMap, err := client.CoreV1().ConfigMaps(namespace).Get(ctx, ConfigMapName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("%w in namespace %s: there is no ConfigMap %s; name the namespace of the release with --bulkhead-namespace",
			ErrNotInstalled, namespace, ConfigMapName)
	}
	if err != nil {
		return nil, fmt.Errorf("read how Bulkhead is set up: %w", err)
	}
	i, err := parse(configMap)
	if err != nil {
		return nil, fmt.Errorf("ConfigMap %s/%s: %w", namespace, ConfigMapName, err)
	}
	if i.cluster, err = toldCluster(ctx, client, namespace); err != nil {
		return nil, err
	}
	for _, bundle := range []struct {
		path *string
		name string
	}{{&i.Issuer.CAFile, issuerCAName}, {&i.Storage.CAFile, sdkCAName}} {
		if *bundle.path == "" {
			continue // the system's roots
		}
		if *bundle.path, err = i.copyBundle(ctx, client, bundle.name); err != nil {
			return nil, errors.Join(err, i.Close())
		}
	}
	return i, nil
}

func parse(configMap *corev1.ConfigMap) (*Installation, error) {
	i := &Installation{Namespace: configMap.Namespace, Version: configMap.Data[versionKey]}
	var args []string
	if err := yaml.UnmarshalStrict([]byte(configMap.Data[flagsKey]), &args); err != nil {
		return nil, fmt.Errorf("%s: %w", flagsKey, err)
	}
	f := pflag.NewFlagSet(ConfigMapName, pflag.ContinueOnError)
	f.SetOutput(io.Discard)
	flags.Issuer(f, &i.Issuer)
	flags.Storage(f, &i.Storage)
	flags.Layout(f, &i.Layout)
	i.Rules.RuleFlags(f)
	if err := f.Parse(args); err != nil {
		return nil, fmt.Errorf("%w; it was written by Bulkhead %s: use kubectl bulkhead of that version", err, i.Version)
	}
	if err := i.Layout.Validate(); err != nil {
		return nil, err
	}
	i.Rules.Layout = i.Layout
	return i, nil
}

// copyBundle writes the CA bundle of a ConfigMap to a file of this machine.
func (i *Installation) copyBundle(ctx context.Context, client kubernetes.Interface, name string) (path string, err error) {
	configMap, err := client.CoreV1().ConfigMaps(i.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("read a CA bundle: %w", err)
	}
	file, err := os.CreateTemp("", name+"-*.crt")
	if err != nil {
		return "", fmt.Errorf("copy CA bundle %s: %w", name, err)
	}
	i.copies = append(i.copies, file.Name())
	_, err = file.WriteString(configMap.Data[caKey])
	if err = errors.Join(err, file.Close()); err != nil {
		return "", fmt.Errorf("copy CA bundle %s: %w", name, err)
	}
	return file.Name(), nil
}

// Close removes the copies of CA bundles.
func (i *Installation) Close() error {
	var problems []error
	for _, path := range i.copies {
		if err := os.Remove(path); err != nil {
			problems = append(problems, fmt.Errorf("remove the copy of a CA bundle: %w", err))
		}
	}
	i.copies = nil
	return errors.Join(problems...)
}
