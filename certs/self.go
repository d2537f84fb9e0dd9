// Package certs gives the webhook its serving certificate. In the self-signed
// mode all replicas share one CA, kept in a Secret; each makes its own serving
// certificate in memory and keeps the CA in the webhook configurations, so that
// nothing else has to be installed.
package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"
	"k8s.io/klog/v2"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// checkInterval is how often the CA, the serving certificate and the webhook
// configurations are looked at.
const checkInterval = 10 * time.Second

// SelfConfig configures the self-signed mode.
type SelfConfig struct {
	// Secret holds the CA, of type kubernetes.io/tls.
	Secret tenancy.SecretRef
	// Names are the DNS names and IP addresses that the API server calls.
	Names []string
	// WebhookConfiguration is the name of the mutating and of the validating
	// webhook configuration.
	WebhookConfiguration string
}

// Self is the self-signed mode.
type Self struct {
	cfg     SelfConfig
	client  kubernetes.Interface
	now     func() time.Time
	serving atomic.Pointer[tls.Certificate]
	trusted atomic.Bool
}

// NewSelf checks the configuration.
func NewSelf(client kubernetes.Interface, cfg SelfConfig) (*Self, error) {
	switch {
	case cfg.Secret.Namespace == "" || cfg.Secret.Name == "":
		return nil, errors.New("no CA Secret: want namespace/name")
	case len(cfg.Names) == 0:
		return nil, errors.New("no serving names: want the names that the API server calls the webhook by")
	case cfg.WebhookConfiguration == "":
		return nil, errors.New("no name of the webhook configurations")
	}
	return &Self{cfg: cfg, client: client, now: time.Now}, nil
}

// GetCertificate is for tls.Config.
func (s *Self) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c := s.serving.Load(); c != nil {
		return c, nil
	}
	return nil, errors.New("there is no serving certificate yet")
}

// Ready returns nil once the webhook configurations hold our CA.
func (s *Self) Ready(*http.Request) error {
	if !s.trusted.Load() {
		return errors.New("the webhook configurations do not hold the CA yet")
	}
	return nil
}

// Start keeps certificate and webhook configurations in order until ctx ends.
func (s *Self) Start(ctx context.Context) error {
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		if err := s.ensure(ctx); err != nil && ctx.Err() == nil {
			klog.FromContext(ctx).Error(err, "Serving certificate not in order; will try again")
		}
	}, checkInterval)
	return nil
}

func (s *Self) ensure(ctx context.Context) error {
	ca, err := s.authority(ctx)
	if err != nil {
		return err
	}
	if !servedBy(s.serving.Load(), ca, s.now()) {
		leaf, err := ca.leaf(s.cfg.Names, s.now())
		if err != nil {
			return err
		}
		s.serving.Store(leaf)
	}
	if err := s.inject(ctx, ca.certPEM); err != nil {
		return err
	}
	s.trusted.Store(true)
	return nil
}

// servedBy reports whether the leaf is one of this CA with a third of its life
// left.
func servedBy(leaf *tls.Certificate, ca *authority, now time.Time) bool {
	return leaf != nil && leaf.Leaf.CheckSignatureFrom(ca.certificate) == nil &&
		leaf.Leaf.NotAfter.Sub(now) > leafLife/3
}

// authority reads the CA from its Secret, or makes one. Of several replicas
// that make one at once, the API server lets one win, and all read that one.
func (s *Self) authority(ctx context.Context) (*authority, error) {
	secrets := s.client.CoreV1().Secrets(s.cfg.Secret.Namespace)
	secret, err := secrets.Get(ctx, s.cfg.Secret.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		var ca *authority
		if ca, err = newAuthority(s.now()); err != nil {
			return nil, err
		}
		certPEM, keyPEM, encodeErr := ca.encode()
		if encodeErr != nil {
			return nil, encodeErr
		}
		secret, err = secrets.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: s.cfg.Secret.Name, Namespace: s.cfg.Secret.Namespace},
			Type:       corev1.SecretTypeTLS,
			Data:       map[string][]byte{corev1.TLSCertKey: certPEM, corev1.TLSPrivateKeyKey: keyPEM},
		}, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			secret, err = secrets.Get(ctx, s.cfg.Secret.Name, metav1.GetOptions{})
		}
	}
	if err != nil {
		return nil, fmt.Errorf("CA Secret %s: %w", s.cfg.Secret, err)
	}
	ca, err := parseAuthority(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return nil, fmt.Errorf("CA Secret %s: %w; delete it to have a new one made", s.cfg.Secret, err)
	}
	return ca, nil
}

// inject makes every webhook of both configurations trust the CA.
func (s *Self) inject(ctx context.Context, caBundle []byte) error {
	registration, name := s.client.AdmissionregistrationV1(), s.cfg.WebhookConfiguration
	mutating := func(c *admissionv1.MutatingWebhookConfiguration) (clients []*admissionv1.WebhookClientConfig) {
		for i := range c.Webhooks {
			clients = append(clients, &c.Webhooks[i].ClientConfig)
		}
		return clients
	}
	validating := func(c *admissionv1.ValidatingWebhookConfiguration) (clients []*admissionv1.WebhookClientConfig) {
		for i := range c.Webhooks {
			clients = append(clients, &c.Webhooks[i].ClientConfig)
		}
		return clients
	}
	if err := trust(ctx, registration.MutatingWebhookConfigurations(), name, mutating, caBundle); err != nil {
		return fmt.Errorf("mutating webhook configuration %s: %w", name, err)
	}
	if err := trust(ctx, registration.ValidatingWebhookConfigurations(), name, validating, caBundle); err != nil {
		return fmt.Errorf("validating webhook configuration %s: %w", name, err)
	}
	return nil
}

// configurations are webhook configurations of one of the two kinds.
type configurations[T any] interface {
	Get(ctx context.Context, name string, options metav1.GetOptions) (*T, error)
	Update(ctx context.Context, configuration *T, options metav1.UpdateOptions) (*T, error)
}

// trust writes the CA bundle where a webhook of the configuration lacks it.
func trust[T any](ctx context.Context, api configurations[T], name string,
	clients func(*T) []*admissionv1.WebhookClientConfig, caBundle []byte,
) error {
	//nolint:wrapcheck // the caller says what was attempted
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		configuration, err := api.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		changed := false
		for _, c := range clients(configuration) {
			if !bytes.Equal(c.CABundle, caBundle) {
				c.CABundle, changed = caBundle, true
			}
		}
		if changed {
			_, err = api.Update(ctx, configuration, metav1.UpdateOptions{})
		}
		return err
	})
}
