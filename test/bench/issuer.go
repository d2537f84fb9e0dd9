package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"os"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/exchange"
	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// sidecarAccount is the sidecar's, by the chart's names.
const (
	releaseNamespace = "bulkhead-system"
	sidecarAccount   = "bulkhead-sidecar"
)

// The issuer alone, without the rest of Bulkhead.
const issuerAccount = `
apiVersion: v1
kind: Namespace
metadata: {name: ` + releaseNamespace + `}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: ` + sidecarAccount + `, namespace: ` + releaseNamespace + `}
`

// issuer is the issuer's binary over TLS, with the product's own client: against
// what it cannot do without, a signature, and against the API server's own
// endpoint for tokens.
func issuer(ctx context.Context, s *session) ([]row, error) {
	return onSite(ctx, s, func(ctx context.Context, env *cluster.Environment) ([]row, error) {
		c, err := env.StartControlPlane(ctx, "k14c1")
		if err != nil {
			return nil, err
		}
		if err := c.Apply(ctx, []byte(issuerAccount)); err != nil {
			return nil, err
		}
		if _, err := env.Register(ctx, c); err != nil {
			return nil, err
		}
		if err := setPolicy(ctx, env, unlimited()); err != nil {
			return nil, err
		}
		measured, err := exchanges(ctx, s, env, c)
		if err != nil {
			return nil, err
		}
		return measured.rows(), nil
	})
}

// exchanged is what each round measured.
type exchanged struct {
	clients int
	// Processor time for one, in µs: of the process that signs, the issuer and the API
	// server.
	signature, exchange, request []float64
	// The clock's time for one, in µs, and the time within which 99 of 100 were
	// answered, in ms.
	exchangeWall, requestWall []float64
	exchangeLate, requestLate []float64
	// Memory of the issuer's process after the round, in MiB.
	resident, peak []float64
}

func (e *exchanged) rows() []row {
	const (
		overSignature = 4
		overRequest   = 0.2
	)
	const request = "TokenRequest of kube-apiserver"
	exchange := fmt.Sprintf("issuer: an exchange, %d clients", e.clients)
	return []row{
		{what: exchange, against: "ES256 signature", unit: "µs of a core", is: e.exchange, other: e.signature, target: overSignature},
		{what: exchange, against: request, unit: "µs of a core", is: e.exchange, other: e.request, target: overRequest},
		{what: exchange, against: request, unit: "µs", is: e.exchangeWall, other: e.requestWall},
		{what: exchange + ", p99", against: request, unit: "ms", is: e.exchangeLate, other: e.requestLate},
		{what: "issuer: resident after the exchanges", unit: "MiB", is: e.resident},
		{what: "issuer: resident at most", unit: "MiB", is: e.peak},
	}
}

// exchanges measures signatures, exchanges and requests for tokens, in turn.
func exchanges(ctx context.Context, s *session, env *cluster.Environment, c *cluster.Compute) (*exchanged, error) {
	const (
		clients = 8
		span    = 3 * time.Second
		late    = 0.99
	)
	exchangeOne, err := exchanger(ctx, env, c)
	if err != nil {
		return nil, err
	}
	requestOne, err := requester(env, c)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	signOne := func(context.Context, int) error {
		digest := sha256.Sum256(make([]byte, signedBytes))
		_, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
		return err
	}
	server := env.Storage.Issuer.PID()
	all := &exchanged{clients: clients}
	for round := range s.rounds {
		fmt.Fprintf(s.progress, "issuer: round %d of %d\n", round+1, s.rounds)
		_, cost, err := costOfOne(ctx, os.Getpid(), 1, span, signOne)
		if err != nil {
			return nil, fmt.Errorf("sign: %w", err)
		}
		all.signature = append(all.signature, cost)
		met, cost, err := costOfOne(ctx, server, clients, span, exchangeOne)
		if err != nil {
			return nil, fmt.Errorf("exchange: %w", err)
		}
		all.exchange = append(all.exchange, cost)
		all.exchangeWall = append(all.exchangeWall, micro(met.each()))
		all.exchangeLate = append(all.exchangeLate, milli(met.quantile(late)))
		used, err := usageOf(server)
		if err != nil {
			return nil, err
		}
		all.resident, all.peak = append(all.resident, used.resident), append(all.peak, used.peak)
		met, cost, err = costOfOne(ctx, c.Process("apiserver").PID(), clients, span, requestOne)
		if err != nil {
			return nil, fmt.Errorf("request a token: %w", err)
		}
		all.request = append(all.request, cost)
		all.requestWall = append(all.requestWall, micro(met.each()))
		all.requestLate = append(all.requestLate, milli(met.quantile(late)))
	}
	return all, nil
}

// signedBytes is about how much of a token is signed.
const signedBytes = 800

// costOfOne asks for a while; cost is the processor time of a process for each
// answer, in µs.
func costOfOne(ctx context.Context, pid, clients int, span time.Duration, question func(context.Context, int) error) (met load, cost float64, err error) {
	before, err := usageOf(pid)
	if err != nil {
		return load{}, 0, err
	}
	if met, err = ask(ctx, clients, span, question); err != nil {
		return load{}, 0, err
	}
	after, err := usageOf(pid)
	if err != nil {
		return load{}, 0, err
	}
	return met, micro(after.cpu-before.cpu) / float64(len(met.took)), nil
}

// exchanger exchanges the sidecar's credential for a token of another namespace
// each time.
func exchanger(ctx context.Context, env *cluster.Environment, c *cluster.Compute) (func(context.Context, int) error, error) {
	client, err := issuerClient(ctx, env, c)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, number int) error {
		_, err := client.Exchange(ctx, tenancy.Tenant{
			Namespace: fmt.Sprintf("team-%d", number), UID: fmt.Sprintf("0b1d3a52-5a0c-4f3e-9d2f-%012d", number),
		})
		return err
	}, nil
}

// issuerClient is the product's client of the issuer, with the sidecar's credential.
func issuerClient(ctx context.Context, env *cluster.Environment, c *cluster.Compute) (*exchange.Client, error) {
	credential, err := c.ServiceAccountToken(ctx, releaseNamespace, sidecarAccount, env.Storage.IssuerURL)
	if err != nil {
		return nil, err
	}
	return exchange.NewClient(exchange.Config{
		IssuerURL: env.Storage.IssuerURL, CAFile: env.Storage.IssuerCAFile, CredentialFile: credential, StorageCluster: env.Storage.ID,
	})
}

// requester asks the API server for the same ServiceAccount's credential, in the way
// that costs it least: as an admin, whom its fair queueing leaves alone, and in
// protobuf.
func requester(env *cluster.Environment, c *cluster.Compute) (func(context.Context, int) error, error) {
	client, err := adminOf(c)
	if err != nil {
		return nil, err
	}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{env.Storage.IssuerURL}}}
	return func(ctx context.Context, _ int) error {
		_, err := client.CoreV1().ServiceAccounts(releaseNamespace).CreateToken(ctx, sidecarAccount, request, metav1.CreateOptions{})
		return err
	}, nil
}

func micro(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func milli(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
