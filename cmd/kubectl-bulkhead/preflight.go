package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/plugin/installation"
	"github.com/bulkhead-dev/bulkhead/plugin/output"
	"github.com/bulkhead-dev/bulkhead/plugin/preflight"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// preflightOptions are the flags of preflight.
type preflightOptions struct {
	values     []string
	issuerURL  string
	issuerCA   string
	admin      storageAdmin
	writeTests bool
	nodes      []string
	image      string
	namespace  string
	skip       []string
}

func preflightCommand(c *connection) *cobra.Command {
	var o preflightOptions
	format := output.Table
	cmd := &cobra.Command{
		Use:   "preflight",
		Short: "Look, before the install, at what would keep Bulkhead from working or guarding",
		Long: "Looks, before the install, at what would keep Bulkhead from working, or make it guard less than it seems to.\n" +
			"It changes nothing, but for --write-tests and --probe-image, which clean up after themselves.\n\n" +
			"Checks: " + strings.Join(preflight.IDs(), ", ") + ".\n\n" +
			"Exit codes: 0 nothing has to be mended first, 1 something has, 2 it did not work.",
		Example: "  kubectl bulkhead preflight --values values.yaml\n" +
			"  kubectl bulkhead preflight --values values.yaml --storage-token-file admin.token --write-tests",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := os.MkdirTemp("", "bulkhead-preflight-")
			if err != nil {
				return fmt.Errorf("folder for CA bundles: %w", err)
			}
			defer func() { _ = os.RemoveAll(dir) }()
			cfg, err := o.config(cmd.Context(), c, cmd.Flags(), dir)
			if err != nil {
				return err
			}
			if errOut := cmd.ErrOrStderr(); output.IsTerminal(errOut) {
				var mu sync.Mutex
				cfg.Progress = func(what string) {
					mu.Lock()
					defer mu.Unlock()
					fmt.Fprintln(errOut, "looking at", what)
				}
			}
			report, err := preflight.Run(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			if err := output.Print(cmd.OutOrStdout(), format, report, report.Print); err != nil {
				return err
			}
			if report.Failed() {
				return errFindings
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&o.values, "values", "f", nil, "values file of the chart, as for helm install (repeatable)")
	f.StringVar(&o.issuerURL, "issuer-url", "", "https URL of the issuer; the values' if empty")
	f.StringVar(&o.issuerCA, "issuer-ca-file", "", "PEM bundle that verifies the issuer; the values' if empty")
	o.admin.flags(f)
	f.Lookup("storage-token-file").Usage = "file with a storage admin's token: for --write-tests, and to look at the roles"
	f.BoolVar(&o.writeTests, "write-tests", false, "make a volume of 1 GiB and a snapshot of it on the storage cluster, and delete both")
	f.StringArrayVar(&o.nodes, "storage-node", nil, "with --probe-image: host name or address of a storage node (repeatable)")
	f.StringVar(&o.image, "probe-image", "", "Bulkhead's image: a Pod of it tries the ports of the storage nodes")
	f.StringVar(&o.namespace, "probe-namespace", "default", "namespace that the Pod runs in")
	f.StringSliceVar(&o.skip, "skip", nil, "checks that are not made")
	complete(cmd, "skip", preflight.IDs())
	formatFlag(cmd, &format)
	return cmd
}

// config is what the flags, the values and what is installed say. CA bundles are
// put into the folder.
func (o *preflightOptions) config(ctx context.Context, c *connection, f *pflag.FlagSet, dir string) (cfg preflight.Config, err error) {
	config, err := c.config()
	if err != nil {
		return cfg, err
	}
	if cfg.Client, err = kubernetes.NewForConfig(config); err != nil {
		return cfg, fmt.Errorf("client: %w", err)
	}
	if cfg.Metadata, err = metadata.NewForConfig(config); err != nil {
		return cfg, fmt.Errorf("client: %w", err)
	}
	cfg.Target = preflight.Target{Drivers: tenancy.DefaultDrivers(), Namespace: c.bulkheadNamespace, TokenNamespace: "bulkhead-tokens"}
	if len(o.values) == 0 {
		if err := fromInstallation(ctx, c, &cfg.Target, dir); err != nil {
			return cfg, err
		}
	}
	for _, path := range o.values {
		if err := readValues(path, &cfg.Target, dir); err != nil {
			return cfg, err
		}
	}
	if o.issuerURL != "" {
		cfg.Target.Issuer = o.issuerURL
	}
	if o.issuerCA != "" {
		if cfg.Target.IssuerCA, err = os.ReadFile(o.issuerCA); err != nil {
			return cfg, fmt.Errorf("CA bundle of the issuer: %w", err)
		}
	}
	cfg.Target.SDK = o.admin.or(&installation.Installation{Storage: cfg.Target.SDK}, f)
	if o.admin.tokenFile != "" {
		if cfg.StorageToken, err = readToken(o.admin.tokenFile, time.Now()); err != nil {
			return cfg, err
		}
	}
	cfg.WriteTests, cfg.StorageNodes, cfg.ProbeImage, cfg.ProbeNamespace, cfg.Skip = o.writeTests, o.nodes, o.image, o.namespace, o.skip
	return cfg, nil
}

// fromInstallation takes what is installed already, if anything is.
func fromInstallation(ctx context.Context, c *connection, t *preflight.Target, dir string) error {
	installed, err := c.installation(ctx)
	if errors.Is(err, installation.ErrNotInstalled) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = installed.Close() }()
	t.Issuer, t.StorageCluster, t.SDK = installed.Issuer.IssuerURL, installed.Issuer.StorageCluster, installed.Storage
	t.Drivers, t.TokenNamespace = installed.Rules.Drivers, installed.Layout.TokenNamespace
	if installed.Issuer.CAFile != "" {
		if t.IssuerCA, err = os.ReadFile(installed.Issuer.CAFile); err != nil {
			return fmt.Errorf("CA bundle of the issuer: %w", err)
		}
	}
	if t.SDK.CAFile == "" {
		return nil
	}
	bundle, err := os.ReadFile(t.SDK.CAFile) // which goes with the installation
	if err != nil {
		return fmt.Errorf("CA bundle of the storage cluster: %w", err)
	}
	t.SDK.CAFile, err = keepBundle(dir, bundle)
	return err
}

// values are what is read of the chart's.
type values struct {
	Issuer struct {
		URL      string `json:"url"`
		CABundle string `json:"caBundle"`
	} `json:"issuer"`
	Storage struct {
		Cluster string `json:"cluster"`
		SDK     struct {
			Address  string `json:"address"`
			TLS      *bool  `json:"tls"`
			CABundle string `json:"caBundle"`
		} `json:"sdk"`
	} `json:"storage"`
	Drivers struct {
		CSI    []string `json:"csi"`
		InTree []string `json:"inTree"`
	} `json:"drivers"`
	Tokens struct {
		Namespace string `json:"namespace"`
	} `json:"tokens"`
}

// readValues lays a values file over what is known.
func readValues(path string, t *preflight.Target, dir string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("values: %w", err)
	}
	v := values{}
	if err := yaml.Unmarshal(text, &v); err != nil {
		return fmt.Errorf("values %s: %w", path, err)
	}
	for _, field := range []struct {
		into *string
		from string
	}{
		{&t.Issuer, v.Issuer.URL}, {&t.StorageCluster, v.Storage.Cluster}, {&t.SDK.Address, v.Storage.SDK.Address}, {&t.TokenNamespace, v.Tokens.Namespace},
	} {
		if field.from != "" {
			*field.into = field.from
		}
	}
	if v.Issuer.CABundle != "" {
		t.IssuerCA = []byte(v.Issuer.CABundle)
	}
	if v.Storage.SDK.CABundle != "" {
		if t.SDK.CAFile, err = keepBundle(dir, []byte(v.Storage.SDK.CABundle)); err != nil {
			return err
		}
	}
	t.SDK.TLS = v.Storage.SDK.TLS == nil || *v.Storage.SDK.TLS // the chart's default
	if len(v.Drivers.CSI) > 0 {
		t.Drivers.CSI = v.Drivers.CSI
	}
	if len(v.Drivers.InTree) > 0 {
		t.Drivers.InTree = v.Drivers.InTree
	}
	return nil
}

// keepBundle writes the CA bundle of the storage cluster to a file.
func keepBundle(dir string, bundle []byte) (path string, err error) {
	const ownerOnly = 0o600
	path = filepath.Join(dir, "sdk-ca.crt")
	if err := os.WriteFile(path, bundle, ownerOnly); err != nil { //nolint:gosec // G703: in a folder of our own
		return "", fmt.Errorf("CA bundle of the storage cluster: %w", err)
	}
	return path, nil
}
