package exchange

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// maxCredential bounds the credential file, in bytes.
const maxCredential = 64 << 10

// Credential is what the compute cluster shows the issuer: a projected
// ServiceAccount token, which the kubelet replaces in its file.
type Credential struct {
	// Raw is the JWT. It is secret: String hides it.
	Raw string
	// Expires is when it ends, by its own word.
	Expires time.Time
}

func (c Credential) String() string {
	return "credential until " + c.Expires.UTC().Format(time.RFC3339)
}

// GoString hides the credential from %#v as String does from %v.
func (c Credential) GoString() string { return c.String() }

// CredentialError says that there is no credential to show. The issuer was not
// asked, and asking it again does not help: the kubelet has to write the file.
type CredentialError struct{ err error }

func (e *CredentialError) Error() string { return e.err.Error() }
func (e *CredentialError) Unwrap() error { return e.err }

// ErrExpired is in a CredentialError if the file holds a credential that has
// ended, as it does when the kubelet is late, after a restart of the node say.
var ErrExpired = errors.New("the credential has expired and the kubelet has not replaced it")

// ReadCredential reads the file. The error is a *CredentialError.
func ReadCredential(path string, now time.Time) (Credential, error) {
	c, err := parseCredential(path)
	if err == nil && !now.Before(c.Expires) {
		err = fmt.Errorf("%w: %s ended at %s", ErrExpired, path, c.Expires.UTC().Format(time.RFC3339))
	}
	if err != nil {
		return c, &CredentialError{err}
	}
	return c, nil
}

func parseCredential(path string) (Credential, error) {
	f, err := os.Open(path)
	if err != nil {
		return Credential{}, fmt.Errorf("read the credential: %w", err)
	}
	defer func() { _ = f.Close() }()
	raw, err := io.ReadAll(io.LimitReader(f, maxCredential))
	if err != nil {
		return Credential{}, fmt.Errorf("read the credential: %w", err)
	}
	c := Credential{Raw: strings.TrimSpace(string(raw))}
	if c.Raw == "" {
		return Credential{}, fmt.Errorf("the credential file %s is empty", path)
	}
	var claims jwt.RegisteredClaims
	// Unverified: the issuer is the one to verify it.
	if _, _, err := jwt.NewParser().ParseUnverified(c.Raw, &claims); err != nil || claims.ExpiresAt == nil {
		return Credential{}, fmt.Errorf("the credential file %s does not hold a ServiceAccount token that ends", path)
	}
	c.Expires = claims.ExpiresAt.Time
	return c, nil
}
