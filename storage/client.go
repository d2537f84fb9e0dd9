// Package storage is the client of the storage cluster: it sets up roles and
// guest access, looks at volumes with a tenant's token, and proves that a token
// is accepted.
package storage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/bulkhead-dev/bulkhead/internal/tlsconfig"
)

// callTimeout bounds one call to the storage cluster.
const callTimeout = 5 * time.Second

// Endpoint is the SDK gRPC endpoint of the storage cluster.
type Endpoint struct {
	// Address is host:port.
	Address string
	// TLS is whether to use TLS; CAFile then verifies the server, the system's
	// roots if empty.
	TLS    bool
	CAFile string
}

// Client calls the storage cluster. It is safe for concurrent use. A token goes
// with each call, never with the client.
type Client struct {
	conn *grpc.ClientConn
}

// Dial prepares a client; it connects with the first call.
func Dial(endpoint Endpoint) (*Client, error) {
	if endpoint.Address == "" {
		return nil, errors.New("storage cluster: no SDK address: want host:port")
	}
	transport := insecure.NewCredentials()
	if endpoint.TLS {
		config, err := tlsconfig.Client(endpoint.CAFile)
		if err != nil {
			return nil, fmt.Errorf("storage cluster: %w", err)
		}
		transport = credentials.NewTLS(config)
	}
	conn, err := grpc.NewClient(endpoint.Address, grpc.WithTransportCredentials(transport))
	if err != nil {
		return nil, fmt.Errorf("storage cluster %s: %w", endpoint.Address, err)
	}
	return &Client{conn: conn}, nil
}

// Close ends the connection.
func (c *Client) Close() error {
	if err := c.conn.Close(); err != nil {
		return fmt.Errorf("close the connection to the storage cluster: %w", err)
	}
	return nil
}

// Conn is the connection, for calls that this package has no method for.
func (c *Client) Conn() *grpc.ClientConn { return c.conn }

// WithToken returns a context whose calls carry the token, as openstorage
// reads it (pkg/auth/context: "authorization: bearer <token>").
func WithToken(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "bearer "+token)
}
