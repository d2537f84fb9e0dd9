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
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
	// looksForMemory is how many looks a replica that starts leaves to the others
	// to put back a CA that the Secret has lost.
	looksForMemory = 3
)

var (
	errNoNames         = errors.New("no serving names: want the names that the API server calls the webhook by")
	errNoConfiguration = errors.New("no name of the webhook configurations")
)

// SelfConfig configures the self-signed mode.
type SelfConfig struct {
	// Secret holds the CA. It must be there, empty at first: so that no replica
	// needs a right that cannot be narrowed to a name.
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
	lostSince      time.Time
}

// NewSelf checks the configuration. The client must not cache. It needs the right
// to get and update the Secret, and to get and patch both configurations.
func NewSelf(api client.Client, cfg SelfConfig) (*Self, error) {
	switch {
	case cfg.Secret.Namespace == "" || cfg.Secret.Name == "":
		return nil, errors.New("no CA Secret: want namespace/name")
	case len(cfg.Names) == 0:
		return nil, errNoNames
	case cfg.WebhookConfiguration == "":
		return nil, errNoConfiguration
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
	m := newMetrics(cfg.Registry)
	m.rotations.WithLabelValues(certificateCA) // zero, not missing
	return &Self{cfg: cfg, client: api, metrics: m}, nil
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

// Ready returns nil if the webhook configurations held the CA of the serving
// certificate when they were last read, and as long as that lives.
func (s *Self) Ready(*http.Request) error { return readiness(s.serving.Load(), &s.trusted, s.now()) }

func readiness(serving *tls.Certificate, trusted *atomic.Bool, now time.Time) error {
	switch {
	case serving == nil || !trusted.Load():
		return errors.New("the webhook configurations do not hold the CA of the serving certificate")
	case expired(serving.Leaf, now):
		return errors.New("the serving certificate has expired")
	}
	return nil
}

// Start keeps CA, serving certificate and webhook configurations in order until
// ctx ends.
func (s *Self) Start(ctx context.Context) error {
	keep(ctx, s.interval(), s.metrics, s.look)
	return nil
}

func (s *Self) interval() time.Duration { return min(checkInterval, s.cfg.TrustDelay/looksPerDelay) }

// keep looks at intervals until ctx ends, and soon again after it has written, or
// another replica was first.
func keep(ctx context.Context, interval time.Duration, m *metrics, look func(context.Context) (wrote bool, err error)) {
	logger := klog.FromContext(ctx)
	for ctx.Err() == nil {
		pause := interval
		wrote, err := look(ctx)
		conflict := apierrors.IsConflict(err)
		if wrote || conflict {
			pause = min(soon, interval)
		}
		if err != nil && !conflict && ctx.Err() == nil {
			m.errors.Inc()
			logger.Error(err, "Serving certificate not in order; will try again")
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}
