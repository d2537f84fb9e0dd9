// Package certs gives the webhook its serving certificate. In the self-signed
// mode all replicas share one CA, kept in a Secret; each makes its own serving
// certificate in memory and keeps the CA in the webhook configurations, so that
// nothing else has to be installed. Otherwise it comes from files.
package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// Annotations of the CA Secret by which an admin asks for something.
const (
	// RotateCA, with any value, asks for another CA. It is taken off when the
	// rotation begins.
	RotateCA = "bulkhead.dev/rotate-ca"
	// RenewServing asks each replica for another serving certificate whenever its
	// value changes.
	RenewServing = "bulkhead.dev/renew-serving-certificates"
)

// Defaults and bounds of SelfConfig.
const (
	DefaultCALife     = 365 * 24 * time.Hour
	DefaultTrustDelay = 5 * time.Minute
	// minCALife leaves a rotation time: a third of it is longer than a leaf lives.
	minCALife = 4 * leafLife
	// maxTrustDelay is well below what a leaf has left when it is renewed.
	maxTrustDelay = time.Hour
)

const (
	// checkInterval is how often a replica looks at Secret and configurations.
	checkInterval = 5 * time.Second
	// looksPerDelay is how often it looks, at least, while a CA is to be trusted.
	looksPerDelay = 4
	// soon is when it looks again at what it has just written.
	soon = time.Second
)

// SelfConfig configures the self-signed mode.
type SelfConfig struct {
	// Secret holds the CA, of type kubernetes.io/tls.
	Secret tenancy.SecretRef
	// Names are the DNS names and IP addresses that the API server calls.
	Names []string
	// WebhookConfiguration is the name of the mutating and of the validating
	// webhook configuration.
	WebhookConfiguration string
	// CALife is how long a CA lives; it is replaced when two thirds have passed.
	CALife time.Duration
	// TrustDelay is how long a new CA is trusted before it signs: API servers
	// learn of it by a watch, one that lags more than this would refuse.
	TrustDelay time.Duration
	// Clock is the real one if nil. Offset, which may be nil, is to be added to it
	// to know the API server's time.
	Clock  clock.PassiveClock
	Offset func() time.Duration
	// Registry takes the metrics.
	Registry prometheus.Registerer
}

// Self is the self-signed mode. There is no leader: each replica does all, and
// what several do at once is decided by the resourceVersion of what they change.
type Self struct {
	cfg     SelfConfig
	client  client.Client
	metrics *metrics

	serving atomic.Pointer[tls.Certificate]
	trusted atomic.Bool

	// The rest is for the one goroutine that runs look.

	// issuer has signed what is served; signer is what the Secret had for that
	// when it was last read.
	issuer, signer *authority
	observed       observations
	renewed        string // the value of RenewServing when the leaf was made
}

// NewSelf checks the configuration. The client must not cache.
func NewSelf(api client.Client, cfg SelfConfig) (*Self, error) {
	switch {
	case cfg.Secret.Namespace == "" || cfg.Secret.Name == "":
		return nil, errors.New("no CA Secret: want namespace/name")
	case len(cfg.Names) == 0:
		return nil, errors.New("no serving names: want the names that the API server calls the webhook by")
	case cfg.WebhookConfiguration == "":
		return nil, errors.New("no name of the webhook configurations")
	case cfg.CALife < minCALife:
		return nil, fmt.Errorf("a CA life of %v is too short: want %v at least", cfg.CALife, minCALife)
	case cfg.TrustDelay < soon || cfg.TrustDelay > maxTrustDelay:
		return nil, fmt.Errorf("a trust delay of %v: want %v to %v", cfg.TrustDelay, soon, maxTrustDelay)
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	if cfg.Offset == nil {
		cfg.Offset = func() time.Duration { return 0 }
	}
	return &Self{cfg: cfg, client: api, metrics: newMetrics(cfg.Registry)}, nil
}

// now is the API server's time.
func (s *Self) now() time.Time { return s.cfg.Clock.Now().Add(s.cfg.Offset()) }

// GetCertificate is for tls.Config.
func (s *Self) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c := s.serving.Load(); c != nil {
		return c, nil
	}
	return nil, errors.New("there is no serving certificate yet")
}

// Ready returns nil once the webhook configurations have been read with our CA in
// them, as long as the serving certificate lives.
func (s *Self) Ready(*http.Request) error {
	c := s.serving.Load()
	switch {
	case c == nil || !s.trusted.Load():
		return errors.New("the webhook configurations do not hold the CA yet")
	case expired(c.Leaf, s.now()):
		return errors.New("the serving certificate has expired")
	}
	return nil
}

// Start keeps CA, serving certificate and webhook configurations in order until
// ctx ends.
func (s *Self) Start(ctx context.Context) error {
	logger := klog.FromContext(ctx)
	interval := min(checkInterval, s.cfg.TrustDelay/looksPerDelay)
	for {
		pause := interval
		wrote, err := s.look(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err):
			logger.V(4).Info("Another replica was first; will look again", "reason", err.Error())
			pause = min(soon, interval)
		case err != nil:
			s.metrics.errors.Inc()
			logger.Error(err, "Serving certificate not in order; will try again")
		case wrote:
			pause = min(soon, interval)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// look reads all there is, takes a step and reports whether it wrote anything
// that it should read back.
func (s *Self) look(ctx context.Context) (wrote bool, err error) {
	// Before the Secret is read: whatever this look signs has been signed before
	// any later change of the Secret, as far as the end of its life goes.
	now := s.now()
	// The Secret before the configurations: what others add to both in between is
	// then something that the Secret does not hold, and never dropped.
	secret, st, found, err := s.read(ctx)
	if err != nil {
		return false, errors.Join(err, s.sustain(now))
	}
	configurations, err := readConfigurations(ctx, s.client, s.cfg.WebhookConfiguration)
	if err != nil {
		// Without a look at them nothing may change but our own certificate, and that
		// not to a CA that they may not hold.
		if current := s.serving.Load(); st.signer == nil || current != nil && !st.signer.signed(current.Leaf) {
			return false, errors.Join(err, s.sustain(now))
		}
		return false, errors.Join(err, s.serve(ctx, st, secret, now))
	}
	some, all := trustedCertificates(configurations)
	s.observed.look(all, s.cfg.Clock.Now(), s.cfg.TrustDelay)
	_, requested := secret.Annotations[RotateCA]
	changes, err := st.advance(situation{
		now: now, life: s.cfg.CALife, delay: s.cfg.TrustDelay,
		lost: found == foundNothing, requested: requested,
		remembered: []*authority{s.signer, s.issuer},
		seen:       some, trustedFor: s.observed.trustedFor,
	})
	if err != nil {
		return false, err
	}
	if found == foundDamage {
		changes = append(changes, changeRepair)
	}
	if len(changes) > 0 {
		if err := s.write(ctx, secret, st, changes); err != nil {
			return false, errors.Join(err, s.sustain(now))
		}
		wrote = true
	}
	s.metrics.state(st)
	s.signer = st.signer
	if err := s.serve(ctx, st, secret, now); err != nil {
		return wrote, err
	}
	bundle := st.bundle(now)
	for _, c := range configurations {
		if err := c.disown(ctx, s.client); err != nil {
			return wrote, err
		}
		changed, err := c.write(ctx, s.client, bundle)
		wrote = wrote || changed
		if err != nil {
			return wrote, err
		}
		if changed {
			klog.FromContext(ctx).Info("Wrote the CA bundle", "configuration", klog.KObj(c.object), "certificates", len(st.trusted(now)))
		}
	}
	// Not what was just written: it shall be read back first.
	if s.observed.trustedFor(s.issuer.certificate) >= 0 {
		s.trusted.Store(true)
	}
	return wrote, nil
}

// finding is what became of reading the Secret.
type finding int

const (
	foundState finding = iota
	foundNothing
	foundDamage
)

// read reads the Secret. Where there is none, it returns an empty one.
func (s *Self) read(ctx context.Context) (secret *corev1.Secret, st *state, found finding, err error) {
	secret = &corev1.Secret{}
	err = s.client.Get(ctx, types.NamespacedName{Namespace: s.cfg.Secret.Namespace, Name: s.cfg.Secret.Name}, secret)
	if apierrors.IsNotFound(err) {
		return &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: s.cfg.Secret.Namespace, Name: s.cfg.Secret.Name},
			Type:       corev1.SecretTypeTLS,
		}, &state{}, foundNothing, nil
	}
	if err != nil {
		return nil, nil, foundNothing, fmt.Errorf("read CA Secret %s: %w", s.cfg.Secret, err)
	}
	st, problem := parseState(secret.Data)
	if problem != nil {
		s.metrics.errors.Inc()
		klog.FromContext(ctx).Error(problem, "Part of the CA Secret is of no use and will be replaced", "secret", klog.KObj(secret))
		return secret, st, foundDamage, nil
	}
	return secret, st, foundState, nil
}

// write writes the Secret as it should be, unless somebody else has since it was
// read.
func (s *Self) write(ctx context.Context, secret *corev1.Secret, st *state, changes []string) error {
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	if err := st.write(secret.Data); err != nil {
		return err
	}
	for _, change := range changes {
		if change == changeAnnounce {
			delete(secret.Annotations, RotateCA)
		}
	}
	var err error
	if secret.ResourceVersion == "" {
		err = s.client.Create(ctx, secret)
	} else {
		err = s.client.Update(ctx, secret)
	}
	if err != nil {
		return fmt.Errorf("write CA Secret %s: %w", s.cfg.Secret, err)
	}
	for _, change := range changes {
		klog.FromContext(ctx).Info("CA changed", "what", change, "secret", klog.KObj(secret), "expires", st.signer.certificate.NotAfter)
	}
	return nil
}

// serve makes another serving certificate if it is time.
func (s *Self) serve(ctx context.Context, st *state, secret *corev1.Secret, now time.Time) error {
	current, asked := s.serving.Load(), secret.Annotations[RenewServing]
	trusted := st.trusted(now)
	reason := ""
	switch {
	case current == nil:
		reason = "there was none"
	case verify(current.Leaf, trusted, s.cfg.Names, now) != nil:
		reason = "it was no longer good"
	case !st.signer.signed(current.Leaf):
		// Whoever put it there, it signs for us once we know that it is trusted.
		if s.observed.trustedFor(st.signer.certificate) < s.cfg.TrustDelay {
			return nil
		}
		reason = "another CA signs"
	case asked != s.renewed:
		reason = "an admin asked for it"
	case !now.Before(renewal(current.Leaf, leafLife)):
		reason = "two thirds of its life had passed"
	default:
		return nil
	}
	leaf, err := st.signer.leaf(s.cfg.Names, now)
	if err != nil {
		return err
	}
	if err := verify(leaf.Leaf, trusted, s.cfg.Names, now); err != nil {
		return fmt.Errorf("CA Secret %s: %w", s.cfg.Secret, err)
	}
	s.serving.Store(leaf)
	s.issuer, s.renewed = st.signer, asked
	s.metrics.serving(leaf.Leaf)
	klog.FromContext(ctx).Info("Made a serving certificate", "reason", reason, "expires", leaf.Leaf.NotAfter)
	return nil
}

// sustain prolongs what is served while the Secret cannot be read or written. It
// does so with the CA that has signed it: where that has gone meanwhile, what is
// served now would end at the same time.
func (s *Self) sustain(now time.Time) error {
	current := s.serving.Load()
	if current == nil || s.issuer == nil || now.Before(renewal(current.Leaf, leafLife)) || expired(s.issuer.certificate, now) {
		return nil
	}
	leaf, err := s.issuer.leaf(s.cfg.Names, now)
	if err != nil {
		return err
	}
	s.serving.Store(leaf)
	s.metrics.serving(leaf.Leaf)
	return nil
}
