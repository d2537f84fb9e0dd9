package certs

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"errors"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Keys of the Secret besides tls.crt and tls.key, which are the CA that signs.
const (
	// nextCert and nextKey are the CA that will sign once all API servers trust it.
	nextCert, nextKey = "next.crt", "next.key"
	// previousCerts are CAs that sign no more and are still trusted, without keys.
	previousCerts = "previous.crt"
	// trustedUntil is a PEM header in previousCerts, in RFC 3339.
	trustedUntil = "Trusted-Until"
)

// slack is how much longer a CA stays trusted than the last leaf that it can have
// signed lives: replicas and API servers differ about what time it is.
const slack = time.Hour

// state is what the Secret holds. It is the only state there is: each replica
// reads it, changes it by the rules in advance and writes it back, and of several
// that do so at once the API server lets one win.
type state struct {
	// signer signs; nil if the Secret has none that can.
	signer *authority
	// next is nil but while a rotation goes on.
	next     *authority
	previous []retired
}

// retired is a CA that signs no more.
type retired struct {
	certificate *x509.Certificate
	until       time.Time
}

// parseState reads a Secret. The state is good as far as it goes whatever the
// error, which says what of the Secret is of no use.
func parseState(data map[string][]byte) (*state, error) {
	st := &state{}
	var problems []error
	var err error
	if st.signer, err = parseAuthority(data[corev1.TLSCertKey], data[corev1.TLSPrivateKeyKey]); err != nil {
		problems = append(problems, errors.New(corev1.TLSCertKey+" and "+corev1.TLSPrivateKeyKey+": "+err.Error()))
	}
	if len(data[nextCert])+len(data[nextKey]) > 0 {
		if st.next, err = parseAuthority(data[nextCert], data[nextKey]); err != nil {
			problems = append(problems, errors.New(nextCert+" and "+nextKey+": "+err.Error()))
		}
	}
	certificates, headers := decodeCertificates(data[previousCerts])
	for i, certificate := range certificates {
		until, err := time.Parse(time.RFC3339, headers[i][trustedUntil])
		if err != nil {
			// If the configurations have it, it is taken up again from there.
			problems = append(problems, errors.New(previousCerts+": no time in "+trustedUntil))
			continue
		}
		st.previous = append(st.previous, retired{certificate, until})
	}
	return st, errors.Join(problems...)
}

// write puts the state into the data of a Secret.
func (st *state) write(data map[string][]byte) (err error) {
	if data[corev1.TLSCertKey], data[corev1.TLSPrivateKeyKey], err = st.signer.encode(); err != nil {
		return err
	}
	delete(data, nextCert)
	delete(data, nextKey)
	if st.next != nil {
		if data[nextCert], data[nextKey], err = st.next.encode(); err != nil {
			return err
		}
	}
	delete(data, previousCerts)
	var text []byte
	for _, r := range st.previous {
		text = append(text, encodeCertificate(r.certificate, map[string]string{trustedUntil: r.until.UTC().Format(time.RFC3339)})...)
	}
	if len(text) > 0 {
		data[previousCerts] = text
	}
	return nil
}

// trusted are the certificates that API servers shall trust. The order does not
// change when the roles do, so that a bundle changes only with what is in it.
func (st *state) trusted(now time.Time) []*x509.Certificate {
	all := []*x509.Certificate{st.signer.certificate}
	if st.next != nil {
		all = append(all, st.next.certificate)
	}
	for _, r := range st.previous {
		if now.Before(r.until) && !expired(r.certificate, now) {
			all = append(all, r.certificate)
		}
	}
	slices.SortFunc(all, func(a, b *x509.Certificate) int {
		return cmp.Or(a.NotBefore.Compare(b.NotBefore), bytes.Compare(a.Raw, b.Raw))
	})
	return all
}

// bundle is trusted in PEM.
func (st *state) bundle(now time.Time) (text []byte) {
	for _, c := range st.trusted(now) {
		text = append(text, encodeCertificate(c, nil)...)
	}
	return text
}

// names reports whether the state holds the certificate in any role.
func (st *state) names(c *x509.Certificate) bool {
	return st.signer != nil && st.signer.certificate.Equal(c) || st.next != nil && st.next.certificate.Equal(c) ||
		slices.ContainsFunc(st.previous, func(r retired) bool { return r.certificate.Equal(c) })
}

// retire makes a CA one that signs no more. Every leaf that it has signed was
// signed before now, so none lives when the time is over.
func (st *state) retire(c *x509.Certificate, now time.Time) {
	if !expired(c, now) && !st.names(c) {
		st.previous = append(st.previous, retired{c, now.Add(leafLife + slack)})
	}
}

// Changes of the state, as log lines name them.
const (
	changeMade     = "made a CA, there was none"
	changeRestored = "put back the CA that signed last"
	changeExpired  = "replaced the CA, it had expired"
	changeAnnounce = "rotation begins: the next CA is made, to be trusted before it signs"
	changePromote  = "the next CA signs: every API server has had time to trust it"
	changeCarry    = "keeps a CA in the bundle that the Secret does not hold"
	changeRepair   = "dropped what was of no use"
	changeForget   = "a CA is no longer trusted: no serving certificate of it can live"
)

// situation is what a replica knows besides the state.
type situation struct {
	now time.Time
	// life is how long a new CA lives, delay how long the next one is trusted
	// before it signs.
	life, delay time.Duration
	// lost is whether the Secret is empty, requested whether an admin has asked for
	// a rotation.
	lost, requested bool
	// remembered are CAs that this replica has worked with, the best first.
	remembered []*authority
	// seen are the certificates that any webhook of the configurations trusts now.
	seen []*x509.Certificate
	// trustedFor is how long this replica has seen all of them trust a certificate,
	// at every look; below zero if not all do.
	trustedFor func(*x509.Certificate) time.Duration
}

// advance takes the state a step further and returns what it changed.
func (st *state) advance(s situation) (changes []string, err error) {
	if st.signer == nil {
		change, err := st.replaceSigner(s)
		if err != nil {
			return nil, err
		}
		changes = append(changes, change)
		// Whoever deletes the Secret, for the chart to put an empty one in its place,
		// wants another CA.
		s.requested = s.requested || s.lost && change == changeRestored
	}
	switch {
	case expired(st.signer.certificate, s.now):
		st.signer = nil
		if _, err := st.replaceSigner(s); err != nil {
			return nil, err
		}
		changes = append(changes, changeExpired)
	case st.next != nil && expired(st.next.certificate, s.now):
		st.next = nil
		fallthrough
	case st.next == nil && (s.requested || !s.now.Before(renewal(st.signer.certificate, s.life))):
		if st.next, err = newAuthority(s.now, s.life); err != nil {
			return nil, err
		}
		changes = append(changes, changeAnnounce)
	case st.next != nil && s.trustedFor(st.next.certificate) >= s.delay:
		old := st.signer
		st.signer, st.next = st.next, nil
		st.retire(old.certificate, s.now)
		changes = append(changes, changePromote)
	}
	return append(changes, st.tidy(s)...), nil
}

// replaceSigner finds a CA that can sign with the least harm. One that is remembered
// is no good where others are trusted meanwhile.
func (st *state) replaceSigner(s situation) (change string, err error) {
	others := slices.ContainsFunc(s.seen, func(c *x509.Certificate) bool { return !expired(c, s.now) })
	for _, ca := range s.remembered {
		if ca != nil && !expired(ca.certificate, s.now) && (!others || slices.ContainsFunc(s.seen, ca.certificate.Equal)) {
			st.signer = ca
			if st.next != nil && st.next.certificate.Equal(ca.certificate) {
				st.next = nil
			}
			return changeRestored, nil
		}
	}
	if st.next != nil && !expired(st.next.certificate, s.now) {
		st.signer, st.next = st.next, nil
		return changePromote, nil
	}
	st.next = nil
	st.signer, err = newAuthority(s.now, s.life)
	return changeMade, err
}

// tidy takes up what the configurations trust beyond the state, since a replica
// may still serve with it, and drops what no longer matters.
func (st *state) tidy(s situation) (changes []string) {
	for _, c := range s.seen {
		if !st.names(c) && !expired(c, s.now) {
			st.retire(c, s.now)
			changes = append(changes, changeCarry)
		}
	}
	count := len(st.previous)
	st.previous = slices.DeleteFunc(st.previous, func(r retired) bool {
		over := !s.now.Before(r.until) || expired(r.certificate, s.now)
		// It stays known until it has left the configurations, or it would be
		// taken up from there again.
		seen := slices.ContainsFunc(s.seen, r.certificate.Equal)
		back := r.certificate.Equal(st.signer.certificate) || st.next != nil && r.certificate.Equal(st.next.certificate)
		return back || over && !seen
	})
	if len(st.previous) != count {
		changes = append(changes, changeForget)
	}
	return changes
}
