package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

const (
	// leafLife is how long a serving certificate lives. It lives in memory and is
	// made anew at will; and the shorter it is, the sooner an old CA can go. It is
	// not to be configured: replicas of different opinions could not tell when the
	// last leaf of a CA ends.
	leafLife = 24 * time.Hour
	// backdate allows for API servers whose clocks are late.
	backdate = time.Hour
	// A certificate, be it a CA's or a leaf, is renewed when renewNumerator of
	// renewDenominator of its life have passed.
	renewNumerator, renewDenominator = 2, 3

	certificateBlock = "CERTIFICATE"
)

// authority is a certificate authority that signs the webhook's serving
// certificates and nothing else.
type authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

func newAuthority(now time.Time, life time.Duration) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("CA key: %w", err)
	}
	template, err := template("Bulkhead webhook CA", now, now.Add(life))
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("CA certificate: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("CA certificate: %w", err)
	}
	return &authority{certificate, key}, nil
}

// parseAuthority reads what encode wrote, or what an admin put in its place.
func parseAuthority(certPEM, keyPEM []byte) (*authority, error) {
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		// Not wrapped, lest a later version of it should tell of the key.
		return nil, errors.New("want a certificate and its key in PEM")
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok || !pair.Leaf.IsCA {
		return nil, errors.New("the certificate is not that of a CA")
	}
	return &authority{pair.Leaf, key}, nil
}

// encode returns the certificate and the key in PEM.
func (a *authority) encode() (certPEM, keyPEM []byte, err error) {
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return nil, nil, fmt.Errorf("CA key: %w", err)
	}
	return encodeCertificate(a.certificate, nil), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func encodeCertificate(c *x509.Certificate, headers map[string]string) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Headers: headers, Bytes: c.Raw})
}

// decodeCertificates returns the certificates in PEM and the headers of each. What
// is none is passed over.
func decodeCertificates(text []byte) (certificates []*x509.Certificate, headers []map[string]string) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return certificates, headers
		}
		if block.Type != certificateBlock {
			continue
		}
		if certificate, err := x509.ParseCertificate(block.Bytes); err == nil {
			certificates, headers = append(certificates, certificate), append(headers, block.Headers)
		}
	}
}

// renewal is when a certificate is to be renewed that lives no longer than life,
// whatever it says itself.
func renewal(c *x509.Certificate, life time.Duration) time.Time {
	begin := c.NotBefore.Add(backdate)
	return begin.Add(min(c.NotAfter.Sub(begin), life) * renewNumerator / renewDenominator)
}

func expired(c *x509.Certificate, now time.Time) bool { return !now.Before(c.NotAfter) }

// leaf makes a serving certificate for the names, each a DNS name or an IP
// address. It does not outlive its CA.
func (a *authority) leaf(names []string, now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("serving key: %w", err)
	}
	end := now.Add(leafLife)
	if end.After(a.certificate.NotAfter) {
		end = a.certificate.NotAfter
	}
	template, err := template(names[0], now, end)
	if err != nil {
		return nil, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("serving certificate: %w", err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("serving certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: parsed}, nil
}

// signed reports whether this CA has signed the leaf.
func (a *authority) signed(leaf *x509.Certificate) bool {
	return bytes.Equal(leaf.RawIssuer, a.certificate.RawSubject) && leaf.CheckSignatureFrom(a.certificate) == nil
}

// verify reports what a client that trusts these certificates and calls by these
// names has against what is served.
func verify(served *tls.Certificate, trusted []*x509.Certificate, names []string, now time.Time) error {
	options := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now}
	for _, c := range trusted {
		options.Roots.AddCert(c)
	}
	for _, der := range served.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			options.Intermediates.AddCert(c)
		}
	}
	for _, name := range names {
		options.DNSName = name
		if _, err := served.Leaf.Verify(options); err != nil {
			return fmt.Errorf("serving certificate for %s: %w", name, err)
		}
	}
	return nil
}

func template(name string, now, end time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("serial number: %w", err)
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-backdate),
		NotAfter:     end,
	}, nil
}
