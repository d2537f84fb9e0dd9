package rotation

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/bulkhead-dev/bulkhead/exchange"
	"github.com/bulkhead-dev/bulkhead/storage"
	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// site is what one test rotates the keys of.
type site struct {
	// dir holds the run folder of each environment.
	dir     string
	issuers *cluster.Issuers
	front   *cluster.Balancer
	nodes   []*node
	// credential is the file that the issuers are shown.
	credential string
	// published asks for JWKS.
	published *http.Client
}

// node is a storage server with its own cache of keys.
type node struct {
	*storage.Client
	name string
	// told is whether the issuers announce new keys to it.
	told bool
}

// newSite starts two issuers and two storage servers; the first of these, as
// many as told says, are told of new keys.
func newSite(t *testing.T, told int) *site {
	t.Helper()
	addresses, err := cluster.FreeAddresses(2)
	if err != nil {
		t.Fatal(err)
	}
	front, err := cluster.NewBalancer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(front.Close)
	s := &site{
		front: front,
		// New each time, as a test may be repeated.
		dir: filepath.Join(stage.Dir, fmt.Sprintf("%s-%d", t.Name(), time.Now().UnixMilli())),
	}
	env := s.newEnvironment(t, "issuers")
	s.issuers, err = env.StartIssuers(t.Context(), cluster.IssuersConfig{
		URL: "https://" + s.front.Address(), Replicas: 2, Clusters: registration, Announce: addresses[:told],
	})
	if err != nil {
		t.Fatal(err)
	}
	s.front.SpreadOver(s.issuers.Replicas[0].Address, s.issuers.Replicas[1].Address)
	s.credential, err = compute.ServiceAccountToken(t.Context(), accountNamespace, accountName, s.issuers.URL)
	if err != nil {
		t.Fatal(err)
	}
	for i, address := range addresses {
		s.addNode(t, fmt.Sprintf("storage-%d", i+1), address, i < told)
	}
	s.trustCA(t)
	s.waitUntilAnnounced(t)
	return s
}

func (s *site) newEnvironment(t *testing.T, name string) *cluster.Environment {
	t.Helper()
	env, err := cluster.New(cluster.Config{
		Dir: filepath.Join(s.dir, name), Binaries: binaries, TokenLife: tokenLife,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		env.Stop()
		select {
		case err := <-env.Failed():
			t.Errorf("a component of %s ended by itself: %v", name, err)
		default:
		}
	})
	return env
}

func (s *site) addNode(t *testing.T, name, address string, told bool) {
	t.Helper()
	env := s.newEnvironment(t, name)
	if err := env.StartStorageNode(t.Context(), s.issuers, address); err != nil {
		t.Fatal(err)
	}
	if _, err := env.SetUpStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	client, err := env.Storage.Dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	s.nodes = append(s.nodes, &node{Client: client, name: name, told: told})
}

func (s *site) trustCA(t *testing.T) {
	t.Helper()
	raw, err := os.ReadFile(s.issuers.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(raw) {
		t.Fatal("the issuer's CA file holds no certificate")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	s.published = &http.Client{Transport: transport, Timeout: patience}
}

// eventually asks until it gets nil, and fails the test if that takes too long.
func eventually(t *testing.T, what string, ask func(context.Context) error) time.Duration {
	t.Helper()
	const interval = 50 * time.Millisecond
	began := time.Now()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), interval, patience, true, func(ctx context.Context) (bool, error) {
		last = ask(ctx)
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("%s: not within %v: %v", what, patience, last)
	}
	return time.Since(began)
}

// waitUntilAnnounced waits until each replica has told each node it tells of the
// key that signs at the start, so that what is told later is of a later key.
func (s *site) waitUntilAnnounced(t *testing.T) {
	t.Helper()
	for _, replica := range s.issuers.Replicas {
		for _, n := range s.nodes {
			if !n.told {
				continue
			}
			series := fmt.Sprintf("bulkhead_issuer_storage_key_known{endpoint=%q}", n.Conn().Target())
			eventually(t, "the first key is announced", func(ctx context.Context) error {
				known, err := replica.Metric(ctx, series)
				if err == nil && known != 1 {
					err = fmt.Errorf("%s: %s is %v", replica.Name, series, known)
				}
				return err
			})
		}
	}
}

// newClient is a client of the product, with connections of its own.
func (s *site) newClient() (*exchange.Client, error) {
	return exchange.NewClient(exchange.Config{
		IssuerURL: s.issuers.URL, CAFile: s.issuers.CAFile,
		CredentialFile: s.credential, StorageCluster: s.issuers.StorageID,
	})
}

// tenant is one of many, so that tokens differ in their subjects too.
func tenant(i int) tenancy.Tenant {
	return tenancy.Tenant{Namespace: fmt.Sprintf("team-%d", i), UID: fmt.Sprintf("8f3c6a52-7d1e-4b0c-9a54-%012d", i)}
}

// mint gets one token over a new connection.
func (s *site) mint(ctx context.Context) (minted, error) {
	client, err := s.newClient()
	if err != nil {
		return minted{}, err
	}
	token, err := client.Exchange(ctx, tenant(0))
	if err != nil {
		return minted{}, err
	}
	return read(token.Raw)
}

// accepted is nil if each of the nodes accepts the token.
func accepted(ctx context.Context, token string, nodes ...*node) error {
	for _, n := range nodes {
		if err := n.Accepts(ctx, token); err != nil {
			return fmt.Errorf("%s: %w", n.name, err)
		}
	}
	return nil
}

// unverified is what the storage cluster says of a token of an issuer that it
// trusts and a key that it does not; what a role or an owner forbids reads
// differently, under the same code.
const unverified = "Unable to authenticate token"

// refused is nil if each of the nodes finds the token's signature wanting.
func refused(ctx context.Context, token string, nodes ...*node) error {
	for _, n := range nodes {
		switch err := n.Accepts(ctx, token); {
		case err == nil:
			return fmt.Errorf("%s accepts it", n.name)
		case status.Code(err) != codes.PermissionDenied || !strings.HasSuffix(err.Error(), unverified):
			return fmt.Errorf("%s did not judge it: %w", n.name, err)
		}
	}
	return nil
}

// publishedBy are the ids of the keys that a replica publishes.
func (s *site) publishedBy(ctx context.Context, replica *cluster.Replica) ([]string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+replica.Address+"/jwks", nil)
	if err != nil {
		return nil, err
	}
	answer, err := s.published.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	var set jose.JSONWebKeySet
	if err := json.NewDecoder(answer.Body).Decode(&set); err != nil {
		return nil, err
	}
	var ids []string
	for _, key := range set.Keys {
		ids = append(ids, key.KeyID)
	}
	return ids, nil
}

// publish is nil if each running replica publishes all these keys and no other.
func (s *site) publish(ctx context.Context, want ...string) error {
	slices.Sort(want)
	for _, replica := range s.issuers.Replicas {
		if !replica.Running() {
			continue
		}
		got, err := s.publishedBy(ctx, replica)
		if err != nil {
			return fmt.Errorf("%s: %w", replica.Name, err)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			return fmt.Errorf("%s publishes keys %q, want %q", replica.Name, got, want)
		}
	}
	return nil
}

// row is a line of what `issuer keys` prints.
type row struct {
	name, algorithm, state, id string
	// zero where no time is printed
	signs, until time.Time
}

var gap = regexp.MustCompile(`\s{2,}`)

// keys runs a command of `issuer keys` and returns the rows that it prints, in
// the order in which the keys sign.
func (s *site) keys(t *testing.T, args ...string) []row {
	t.Helper()
	args = append([]string{"keys"}, args...)
	args = append(args, "--keys-dir", s.issuers.KeysDir)
	var stderr strings.Builder
	cmd := exec.CommandContext(t.Context(), binaries.Issuer, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("issuer %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	t.Logf("issuer %s\n%s", strings.Join(args, " "), out)
	var rows []row
	for line := range strings.Lines(string(out)) {
		columns := gap.Split(strings.TrimSpace(line), -1)
		if columns[0] == "NAME" {
			continue
		}
		if len(columns) != 7 {
			t.Fatalf("issuer keys prints a line of %d columns: %q", len(columns), line)
		}
		r := row{name: columns[0], algorithm: columns[1], state: columns[2], id: columns[6]}
		r.signs, _ = time.Parse(time.RFC3339, columns[4])
		r.until, _ = time.Parse(time.RFC3339, columns[5])
		rows = append(rows, r)
	}
	return rows
}
