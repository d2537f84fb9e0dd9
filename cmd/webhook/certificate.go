package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/bulkhead-dev/bulkhead/certs"
	"github.com/bulkhead-dev/bulkhead/webhook"
)

// certificateOptions say where the serving certificate comes from.
type certificateOptions struct {
	self     certs.SelfConfig
	files    certs.FilesConfig
	caSecret string
}

// certificateFlags are those of the serving certificate.
func certificateFlags(f *pflag.FlagSet, o *certificateOptions) {
	f.StringSliceVar(&o.self.Names, "serving-names", nil, "DNS names and IP addresses that the API server calls (required)")
	f.StringVar(&o.caSecret, "ca-secret", "bulkhead-system/bulkhead-webhook-ca",
		"namespace/name of the Secret, empty at first, for the CA by which each replica makes its serving certificate")
	f.DurationVar(&o.self.CALife, "ca-life", certs.DefaultCALife, "how long a CA lives; the next one is made when two thirds have passed")
	f.DurationVar(&o.self.TrustDelay, "ca-trust-delay", certs.DefaultTrustDelay,
		"how long a new CA is in the webhook configurations before it signs: longer than any API server lags behind")
	f.StringVar(&o.files.CertFile, "tls-cert-file", "", "serving certificate with its chain, PEM, read again when it changes; no CA is made")
	f.StringVar(&o.files.KeyFile, "tls-key-file", "", "its key, PEM")
	f.StringVar(&o.files.CAFile, "tls-ca-file", "",
		"with --tls-cert-file: the CAs that the webhook configurations shall trust, PEM; if empty somebody else writes them there")
}

// certificate is where the serving certificate comes from: from files if there are
// any, else the replicas make a CA of their own.
func (o *certificateOptions) certificate(config *rest.Config) (webhook.Certificate, error) {
	// A client of its own: what it hears of the time is that of the API server.
	config = rest.CopyConfig(config)
	var clock certs.ServerClock
	clock.Follow(config)
	api, err := client.New(config, client.Options{Scheme: clientscheme.Scheme})
	if err != nil {
		return nil, fmt.Errorf("client of the serving certificate: %w", err)
	}
	if o.files.CertFile != "" || o.files.KeyFile != "" {
		o.files.Names, o.files.WebhookConfiguration = o.self.Names, o.self.WebhookConfiguration
		o.files.Registry = ctrlmetrics.Registry
		return certs.NewFiles(api, o.files)
	}
	if o.files.CAFile != "" {
		return nil, errors.New("--tls-ca-file goes with --tls-cert-file and --tls-key-file")
	}
	o.self.Secret.Namespace, o.self.Secret.Name, _ = strings.Cut(o.caSecret, "/")
	o.self.Offset, o.self.Registry = clock.Offset, ctrlmetrics.Registry
	return certs.NewSelf(api, o.self)
}
