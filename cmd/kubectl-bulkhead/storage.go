package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/spf13/pflag"

	"github.com/bulkhead-dev/bulkhead/internal/flags"
	"github.com/bulkhead-dev/bulkhead/plugin/audit"
	"github.com/bulkhead-dev/bulkhead/plugin/installation"
	"github.com/bulkhead-dev/bulkhead/storage"
)

// storageEndpoint is where this machine reaches the storage cluster, if not where
// the Pods do.
type storageEndpoint struct{ given storage.Endpoint }

func (e *storageEndpoint) flags(f *pflag.FlagSet) {
	flags.Storage(f, &e.given)
	for name, usage := range map[string]string{
		"sdk-address": "host:port of the storage cluster's SDK, as this machine reaches it; as the Pods do if empty",
		"sdk-tls":     "use TLS to the storage cluster; as the Pods do if not set",
		"sdk-ca-file": "PEM bundle that verifies the storage cluster; the Pods' if empty",
	} {
		f.Lookup(name).Usage = usage
	}
}

// or is the Pods' endpoint, with what was given in its place.
func (e *storageEndpoint) or(i *installation.Installation, f *pflag.FlagSet) storage.Endpoint {
	is := i.Storage
	if e.given.Address != "" {
		is.Address = e.given.Address
	}
	if f.Changed("sdk-tls") {
		is.TLS = e.given.TLS
	}
	if e.given.CAFile != "" {
		is.CAFile = e.given.CAFile
	}
	return is
}

// storageAdmin is how the storage cluster is asked as its admin.
type storageAdmin struct {
	storageEndpoint

	tokenFile string
}

func (a *storageAdmin) flags(f *pflag.FlagSet) {
	a.storageEndpoint.flags(f)
	f.StringVar(&a.tokenFile, "storage-token-file", "", "file with the token of a storage admin: role system.admin and group *")
}

// maxToken bounds the token file, in bytes.
const maxToken = 64 << 10

// open returns nil if there is no token to ask with. f are the flags of the command.
func (a *storageAdmin) open(i *installation.Installation, f *pflag.FlagSet) (*audit.Storage, error) {
	if a.tokenFile == "" {
		return nil, nil
	}
	token, err := readToken(a.tokenFile, time.Now())
	if err != nil {
		return nil, err
	}
	client, err := storage.Dial(a.or(i, f))
	if err != nil {
		return nil, err
	}
	return &audit.Storage{Client: client, Token: token}, nil
}

// readToken reads a token file. No error holds what is in it.
func readToken(path string, now time.Time) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("storage token: %w", err)
	}
	if info.Size() > maxToken {
		return "", fmt.Errorf("storage token: %s is larger than a token can be", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("storage token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	var claims jwt.RegisteredClaims
	// Unverified: the storage cluster verifies it.
	if _, _, err := jwt.NewParser().ParseUnverified(token, &claims); err != nil {
		return "", fmt.Errorf("storage token: %s holds no JWT", path)
	}
	if claims.ExpiresAt != nil && now.After(claims.ExpiresAt.Time) {
		return "", fmt.Errorf("storage token: that in %s ended at %s", path, claims.ExpiresAt.UTC().Format(time.RFC3339))
	}
	return token, nil
}

// errNoStorageToken is for commands that cannot do without.
var errNoStorageToken = errors.New("want --storage-token-file: a file with the token of a storage admin")
