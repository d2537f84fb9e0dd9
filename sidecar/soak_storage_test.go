package sidecar

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/libopenstorage/openstorage/api"
	"github.com/libopenstorage/openstorage/pkg/auth"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/bulkhead-dev/bulkhead/storage"
	"github.com/bulkhead-dev/bulkhead/test/issuing"
)

// soakStorage is a storage cluster as far as tokens go: OpenStorage's own code reads
// the issuer's keys, keeps them and verifies, and its own code says who may use what
// is owned.
type soakStorage struct {
	verifier *auth.OIDCAuthenticator

	mu     sync.Mutex
	owners map[string]string // of volumes, by their ids
}

// newSoakStorage asks the issuer, which must answer.
func newSoakStorage() (*soakStorage, error) {
	verifier, err := auth.NewOIDC(&auth.OIDCAuthConfig{Issuer: issuing.URL, ClientID: issuing.StorageCluster})
	if err != nil {
		return nil, fmt.Errorf("the storage cluster: %w", err)
	}
	return &soakStorage{verifier: verifier, owners: map[string]string{}}, nil
}

// subject is whom a token is made out to.
func (s *soakStorage) subject(ctx context.Context, token string) (string, error) {
	claims, err := s.verifier.AuthenticateToken(ctx, token)
	if err != nil {
		return "", grpcstatus.Error(codes.Unauthenticated, "the token is refused")
	}
	if !slices.Equal(claims.Roles, []string{storage.TenantRole}) {
		return "", grpcstatus.Error(codes.PermissionDenied, "the role is another")
	}
	return claims.Subject, nil
}

// accepts is the proof of a token.
func (s *soakStorage) accepts(ctx context.Context, token string) error {
	_, err := s.subject(ctx, token)
	return err
}

func (s *soakStorage) create(ctx context.Context, token, volume string) error {
	subject, err := s.subject(ctx, token)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owners[volume] = subject
	return nil
}

var errNotYours = errors.New("access denied to volume")

// use is a call that takes the right to write; then, if not nil, is done with the
// volume.
func (s *soakStorage) use(ctx context.Context, token, volume string, then func()) error {
	subject, err := s.subject(ctx, token)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !storage.Permits(&api.Ownership{Owner: s.owners[volume]}, subject, storage.Write) {
		return errNotYours
	}
	if then != nil {
		then()
	}
	return nil
}

func (s *soakStorage) remove(ctx context.Context, token, volume string) error {
	return s.use(ctx, token, volume, func() { delete(s.owners, volume) })
}

func (s *soakStorage) owner(volume string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.owners[volume]
}
