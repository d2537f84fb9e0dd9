// Package httpserver serves HTTP with the bounds that every listener of
// Bulkhead has.
package httpserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// grace is how long running requests may take once the context has ended.
const grace = 5 * time.Second

// Start listens at once, so that a taken port is an error here, and serves
// until ctx ends; with TLS if there is a configuration for it. The function it
// returns waits for the end and says why, nil if ctx ended.
func Start(ctx context.Context, address string, handler http.Handler, tlsConfig *tls.Config) (wait func() error, err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	// Not HTTP/2: a goroutine for each request, whose stack grows anew, makes an
	// exchange cost half as much again, and with one connection for all requests a
	// Service never spreads a client over the replicas behind it.
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	server := &http.Server{
		Protocols:         &protocols,
		Handler:           handler,
		TLSConfig:         tlsConfig,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		// The end of ctx stops the server, which lets running requests finish.
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	served := make(chan error, 1)
	go func() {
		if tlsConfig != nil {
			served <- server.ServeTLS(listener, "", "")
		} else {
			served <- server.Serve(listener)
		}
	}()
	return func() error {
		select {
		case err := <-served:
			return fmt.Errorf("serve %s: %w", address, err)
		case <-ctx.Done():
		}
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		if err := server.Shutdown(ending); err != nil {
			// Requests that outlast the grace are cut off.
			return errors.Join(fmt.Errorf("shut down %s: %w", address, err), server.Close())
		}
		return nil
	}, nil
}
