package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

// caller is an API server that learns late of changed webhook configurations: it
// trusts what was in the mutating one so long ago, and connects anew for each call.
type caller struct {
	lag   time.Duration
	names func() []string // addresses of the replicas

	mu       sync.Mutex
	versions []version
	calls    int
	failures []error
}

// version is a CA bundle from a time on.
type version struct {
	from   time.Time
	bundle []byte
}

// startCaller begins to call once it has known the configuration for its lag.
func startCaller(t *testing.T, api kubernetes.Interface, configuration string, lag time.Duration, addresses func() []string) *caller {
	t.Helper()
	c := &caller{lag: lag, names: addresses}
	changes, err := api.AdmissionregistrationV1().MutatingWebhookConfigurations().Watch(t.Context(),
		metav1.ListOptions{FieldSelector: "metadata.name=" + configuration})
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	ctx, end := context.WithCancel(t.Context())
	running.Go(func() {
		for event := range changes.ResultChan() {
			c.learn(event)
		}
		if ctx.Err() == nil {
			c.fail(errors.New("the watch has ended"))
		}
	})
	running.Go(func() {
		ticker := time.NewTicker(pace)
		defer ticker.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				c.call(ctx, i)
			}
		}
	})
	t.Cleanup(func() {
		end()
		changes.Stop()
		running.Wait()
	})
	return c
}

func (c *caller) learn(event watch.Event) {
	configuration, ok := event.Object.(*admissionv1.MutatingWebhookConfiguration)
	if !ok || event.Type == watch.Deleted {
		c.fail(fmt.Errorf("the watch delivers %s %T", event.Type, event.Object))
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	bundle := configuration.Webhooks[0].ClientConfig.CABundle
	if n := len(c.versions); n == 0 || !bytes.Equal(c.versions[n-1].bundle, bundle) {
		c.versions = append(c.versions, version{time.Now(), bundle})
	}
}

func (c *caller) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failures = append(c.failures, err)
}

// believed is the bundle that was there a lag ago, nil if that is not known.
func (c *caller) believed() (bundle []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	then := time.Now().Add(-c.lag)
	for _, v := range c.versions {
		if v.from.Before(then) {
			bundle = v.bundle
		}
	}
	return bundle
}

func (c *caller) call(ctx context.Context, i int) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(c.believed()) {
		return // it has known none for long enough
	}
	addresses := c.names()
	_, err := handshake(ctx, addresses[i%len(addresses)], &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12})
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		c.fail(fmt.Errorf("with a lag of %v: %w", c.lag, err))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
}

// finish wants that no call has failed.
func (c *caller) finish(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.failures) > 0 {
		t.Errorf("%d of %d handshakes failed with a lag of %v; the first: %v", len(c.failures), c.calls, c.lag, c.failures[0])
	}
	if c.calls == 0 {
		t.Errorf("no handshake with a lag of %v", c.lag)
	}
	t.Logf("%d handshakes with a lag of %v, %d failed, %d bundles", c.calls, c.lag, len(c.failures), len(c.versions))
}

// handshake returns the certificate that is served.
func handshake(ctx context.Context, address string, config *tls.Config) (*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	dialer := &tls.Dialer{NetDialer: &net.Dialer{}, Config: config}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	secure, ok := conn.(*tls.Conn)
	if !ok {
		return nil, fmt.Errorf("%T is no TLS connection", conn)
	}
	return secure.ConnectionState().PeerCertificates[0], nil
}

// served returns the certificate that is served, looked at and not trusted.
func served(ctx context.Context, address string) (*x509.Certificate, error) {
	return handshake(ctx, address, &tls.Config{InsecureSkipVerify: true})
}
