package certs

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
)

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
	if s.issuer != nil {
		s.setTrusted()
	}
	if err := s.leaveToOthers(st, some, now); err != nil {
		return false, err
	}
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
	s.setTrusted()
	filled, err := writeConfigurations(ctx, s.client, configurations, st.bundle(now))
	return wrote || filled, err
}

// leaveToOthers returns an error while another replica may put back the CA that
// signs: one that has just started knows none, and what it would sign with a new
// one at once, an API server that lags would refuse.
func (s *Self) leaveToOthers(st *state, seen []*x509.Certificate, now time.Time) error {
	lost := st.signer == nil && s.signer == nil &&
		slices.ContainsFunc(seen, func(c *x509.Certificate) bool { return !expired(c, now) })
	at := s.cfg.Clock.Now()
	switch {
	case !lost:
		s.lostSince = time.Time{}
		return nil
	case s.lostSince.IsZero():
		s.lostSince = at
	}
	if at.Sub(s.lostSince) < looksForMemory*s.interval() {
		return fmt.Errorf("CA Secret %s: no CA that signs, but the webhook configurations trust one: a replica that has it may put it back", s.cfg.Secret)
	}
	return nil
}

// setTrusted notes whether the configurations, as they were read, hold the CA of
// what is served. What was only written does not count: it is read back first.
func (s *Self) setTrusted() {
	trusted := s.observed.trustedFor(s.issuer.certificate) >= 0
	s.trusted.Store(trusted)
	s.metrics.injection(trusted)
}

// finding is what became of reading the Secret.
type finding int

const (
	foundState   finding = iota
	foundNothing         // the Secret is empty, as the chart makes it
	foundDamage
)

// read reads the Secret.
func (s *Self) read(ctx context.Context) (secret *corev1.Secret, st *state, found finding, err error) {
	secret = &corev1.Secret{}
	if err := s.client.Get(ctx, types.NamespacedName{Namespace: s.cfg.Secret.Namespace, Name: s.cfg.Secret.Name}, secret); err != nil {
		return nil, nil, foundNothing, fmt.Errorf("read CA Secret %s: %w", s.cfg.Secret, err)
	}
	if len(secret.Data) == 0 {
		return secret, &state{}, foundNothing, nil
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
	if slices.Contains(changes, changeAnnounce) {
		delete(secret.Annotations, RotateCA)
	}
	if err := s.client.Update(ctx, secret); err != nil {
		return fmt.Errorf("write CA Secret %s: %w", s.cfg.Secret, err)
	}
	for _, change := range changes {
		s.metrics.changed(change)
		klog.FromContext(ctx).Info("CA changed", "what", change, "secret", klog.KObj(secret), "expires", st.signer.certificate.NotAfter)
	}
	return nil
}

// serve makes another serving certificate if it is time.
func (s *Self) serve(ctx context.Context, st *state, secret *corev1.Secret, now time.Time) error {
	current, asked := s.serving.Load(), secret.Annotations[RenewServing]
	trusted := st.trusted(now)
	var reason string
	switch {
	case current == nil:
		reason = "there was none"
	case verify(current, trusted, s.cfg.Names, now) != nil:
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
	if err := verify(leaf, trusted, s.cfg.Names, now); err != nil {
		return fmt.Errorf("CA Secret %s: %w", s.cfg.Secret, err)
	}
	s.serving.Store(leaf)
	s.issuer, s.renewed = st.signer, asked
	s.metrics.serving(leaf.Leaf, current != nil)
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
	s.metrics.serving(leaf.Leaf, true)
	return nil
}
