package cluster

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/libopenstorage/openstorage/api"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/storage"
)

const (
	// StorageID is the id of the storage cluster, and so the `aud` of tokens.
	StorageID = "storage-1"
	// adminIssuer is the `iss` of the storage admin's token. It is an issuer of
	// its own, so that nothing of the product could make an admin's token.
	adminIssuer    = "storage-admin"
	adminTokenLife = 24 * time.Hour
	// clockSlack back-dates the admin's token: openstorage grants no leeway.
	clockSlack = time.Minute

	systemSecretBytes = 32

	// storagePorts is how many ports the issuer and the storage cluster take.
	storagePorts = 6
)

// Storage is the storage cluster with the issuer beside it.
type Storage struct {
	// ID of the storage cluster, the audience of its tokens.
	ID string
	// SDKAddress is host:port of the SDK (gRPC, no TLS).
	SDKAddress string
	// SDKSocket is the same on a unix socket, for CSI endpoints.
	SDKSocket string
	// AdminTokenFile holds the token of a storage admin.
	AdminTokenFile string

	// IssuerURL is the issuer's public URL, IssuerCAFile the PEM file that
	// verifies it, and IssuerEndpoint the http URL of its metrics and health.
	IssuerURL, IssuerCAFile, IssuerEndpoint string
	// PolicyFile is the issuer's policy, KeysDir the folder of its signing keys;
	// it reads both again when they change.
	PolicyFile, KeysDir string

	// Issuer and Server are the processes.
	Issuer, Server *Process
	// Front stands before the issuer, nil if Config asks for none.
	Front *Front

	// admin signs what is not the issuer's.
	admin *ecdsa.PrivateKey
}

// StartStorage starts the issuer, which knows no compute cluster yet, and then
// the storage cluster, which trusts the issuer's keys. Guest access is still on
// and Bulkhead's roles are missing, as on a cluster just installed:
// SetUpStorage changes that.
func (e *Environment) StartStorage(ctx context.Context) error {
	if e.Storage != nil {
		return errors.New("start the storage cluster: it runs already")
	}
	dir, err := makeFolder(filepath.Join(e.Dir, "storage"))
	if err != nil {
		return err
	}
	ports, err := freePorts.pick(storagePorts)
	if err != nil {
		return err
	}
	s := &Storage{
		ID:             StorageID,
		IssuerURL:      "https://" + e.at(ports[0]),
		IssuerEndpoint: "http://" + loopback(ports[1]),
		SDKAddress:     e.at(ports[2]),
	}
	if err := e.startIssuer(ctx, s, dir, ports); err != nil {
		return err
	}
	return e.startStorage(ctx, s, dir, ports)
}

// StartStorageFor starts a storage cluster that trusts the issuer at a URL, which
// serves already and is not the environment's: in Storage, all that belongs to
// the issuer's process stays empty. The PEM file verifies the URL.
func (e *Environment) StartStorageFor(ctx context.Context, issuerURL, caFile string) error {
	if e.Storage != nil {
		return errors.New("start the storage cluster: it runs already")
	}
	dir, err := makeFolder(filepath.Join(e.Dir, "storage"))
	if err != nil {
		return err
	}
	ports, err := freePorts.pick(storagePorts)
	if err != nil {
		return err
	}
	s := &Storage{ID: StorageID, IssuerURL: issuerURL, IssuerCAFile: caFile, SDKAddress: e.at(ports[2])}
	return e.startStorage(ctx, s, dir, ports)
}

func (e *Environment) startStorage(ctx context.Context, s *Storage, dir folder, ports []int) error {
	if err := e.startStorageServer(ctx, s, dir, ports); err != nil {
		return err
	}
	e.Storage = s
	return nil
}

func (e *Environment) startIssuer(ctx context.Context, s *Storage, dir folder, ports []int) error {
	began := time.Now()
	ca, err := newAuthority("issuer CA")
	if err != nil {
		return err
	}
	if s.IssuerCAFile, err = dir.write("issuer-ca.pem", ca.pem); err != nil {
		return err
	}
	address := e.at(ports[0])
	if e.cfg.Front {
		address = loopback(ports[5])
		if err := s.startFront(ca, address); err != nil {
			return err
		}
		e.front = s.Front
	}
	certPEM, keyPEM, err := ca.server(e.cfg.Address)
	if err != nil {
		return err
	}
	certFile, err := dir.write("issuer.pem", certPEM)
	if err != nil {
		return err
	}
	keyFile, err := dir.write("issuer-key.pem", keyPEM)
	if err != nil {
		return err
	}
	signing, err := newSigningKey()
	if err != nil {
		return err
	}
	signingPEM, err := privatePEM(signing)
	if err != nil {
		return err
	}
	keys, err := makeFolder(dir.path("keys"))
	if err != nil {
		return err
	}
	if _, err := keys.write("first.pem", signingPEM); err != nil {
		return err
	}
	s.KeysDir = string(keys)
	policy, err := yaml.Marshal(map[string]any{
		"storageCluster": s.ID,
		"maxLife":        metav1.Duration{Duration: e.cfg.TokenLife},
		"clusters":       []any{},
	})
	if err != nil {
		return fmt.Errorf("write the issuer's policy: %w", err)
	}
	if s.PolicyFile, err = dir.write("policy.yaml", policy); err != nil {
		return err
	}
	s.Issuer, err = e.supervisor.start(ctx, spec{
		name: "issuer", path: e.cfg.Binaries.Issuer, endpoint: s.IssuerEndpoint,
		args: []string{
			"serve",
			"--address", address,
			"--http-endpoint", loopback(ports[1]),
			"--issuer-url", s.IssuerURL,
			"--tls-cert-file", certFile,
			"--tls-key-file", keyFile,
			"--keys-dir", s.KeysDir,
			"--policy-file", s.PolicyFile,
		},
		ready: httpOK(s.IssuerEndpoint + "/readyz"),
	})
	if err != nil {
		return err
	}
	e.started("issuer at "+s.IssuerURL, began)
	return nil
}

func (e *Environment) startStorageServer(ctx context.Context, s *Storage, dir folder, ports []int) error {
	began := time.Now()
	admin, err := newSigningKey()
	if err != nil {
		return err
	}
	adminPEM, err := publicPEM(admin)
	if err != nil {
		return err
	}
	adminFile, err := dir.write("admin-public.pem", adminPEM)
	if err != nil {
		return err
	}
	token, err := adminToken(admin, began)
	if err != nil {
		return err
	}
	s.admin = admin
	if s.AdminTokenFile, err = dir.write("admin-token", []byte(token)); err != nil {
		return err
	}
	secret := make([]byte, systemSecretBytes)
	_, _ = rand.Read(secret) // never fails, as its documentation says
	secretFile, err := dir.write("system-secret", []byte(hex.EncodeToString(secret)))
	if err != nil {
		return err
	}
	// In capitals, as no compute cluster's name is.
	s.SDKSocket = e.sockets.path("SDK.sock")
	args := []string{
		"-dir", string(dir),
		"-cluster-id", s.ID,
		"-sdk-address", s.SDKAddress,
		"-sdk-socket", s.SDKSocket,
		// The REST gateway listens on all interfaces: openstorage offers no
		// other way. It asks for the same tokens as the SDK.
		"-rest-port", strconv.Itoa(ports[3]),
		"-gossip-port", strconv.Itoa(ports[4]),
		"-system-secret-file", secretFile,
		"-oidc", s.IssuerURL + "," + s.ID,
		"-jwt", adminIssuer + ",ec=" + adminFile,
	}
	for _, issuer := range e.cfg.SelfSigned {
		args = append(args, "-jwt", issuer)
	}
	s.Server, err = e.supervisor.start(ctx, spec{
		name: "storagecluster", path: e.cfg.Binaries.StorageCluster,
		args: args,
		// Its OIDC client knows the system's certificate authorities alone.
		env:   []string{"SSL_CERT_FILE=" + s.IssuerCAFile},
		ready: s.answers,
	})
	if err != nil {
		return err
	}
	e.started("storage cluster "+s.ID+" at "+s.SDKAddress, began)
	return nil
}

// answers is whether the storage cluster takes the admin's token and has made
// up its one-node cluster.
func (s *Storage) answers(ctx context.Context) error {
	client, err := s.Dial()
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	if ctx, err = s.AsAdmin(ctx); err != nil {
		return err
	}
	if _, err := api.NewOpenStorageClusterClient(client.Conn()).InspectCurrent(ctx, &api.SdkClusterInspectCurrentRequest{}); err != nil {
		return fmt.Errorf("ask the storage cluster: %w", err)
	}
	return nil
}

// Dial is a client of the storage cluster. A token goes with each call:
// see storage.WithToken and AsAdmin.
func (s *Storage) Dial() (*storage.Client, error) {
	client, err := storage.Dial(storage.Endpoint{Address: s.SDKAddress})
	if err != nil {
		return nil, fmt.Errorf("dial the storage cluster: %w", err)
	}
	return client, nil
}

// AsAdmin returns a context whose calls to the storage cluster carry the
// storage admin's token.
func (s *Storage) AsAdmin(ctx context.Context) (context.Context, error) {
	token, err := os.ReadFile(s.AdminTokenFile)
	if err != nil {
		return nil, fmt.Errorf("read the storage admin's token: %w", err)
	}
	return storage.WithToken(ctx, string(token)), nil
}

// SetUpStorage does what the storage admin does once: it makes Bulkhead's roles
// and turns guest access off, by the product's own command, whose output it
// returns. It may be repeated.
func (e *Environment) SetUpStorage(ctx context.Context) (output string, err error) {
	if e.Storage == nil {
		return "", errors.New("set up the storage cluster: it does not run")
	}
	args := []string{
		"bootstrap",
		"--sdk-address", e.Storage.SDKAddress, "--admin-token-file", e.Storage.AdminTokenFile, "--disable-guest",
	}
	if e.Storage.KeysDir != "" {
		args = append(args, "--keys-dir", e.Storage.KeysDir, "--token-issuer", e.Storage.IssuerURL, "--storage-cluster", e.Storage.ID)
	}
	out, err := e.supervisor.run(ctx, e.cfg.Binaries.Issuer, args...)
	if err != nil {
		return "", fmt.Errorf("set up the storage cluster: %w", err)
	}
	return string(out), nil
}

// What the first deployments have: one subject for all namespaces, and the Secret of
// kube-system with its token.
const (
	SharedSubject = "kubernetes1admin@example.com"
	SharedSecret  = "px-user-token"
)

// SharedToken is a token as storage admins made them by hand before Bulkhead: one
// for all namespaces of a compute cluster, a year long, with the role system.user.
func (s *Storage) SharedToken(subject string) (string, error) {
	const year = 365 * 24 * time.Hour
	return handMade(s.admin, subject, time.Now(), year, []string{"system.user"}, nil)
}

// adminToken has what openstorage wants of an admin: the role and the group.
func adminToken(key *ecdsa.PrivateKey, now time.Time) (string, error) {
	return handMade(key, adminIssuer, now, adminTokenLife, []string{"system.admin"}, []string{"*"})
}

// handMade has the claims name and email too, as it must, though they may be empty.
func handMade(key *ecdsa.PrivateKey, subject string, now time.Time, life time.Duration, roles, groups []string) (string, error) {
	token, err := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": adminIssuer, "sub": subject, "name": subject, "email": "",
		"iat": now.Add(-clockSlack).Unix(), "exp": now.Add(life).Unix(),
		"roles": roles, "groups": groups,
	}).SignedString(key)
	if err != nil {
		return "", fmt.Errorf("sign the token of %s: %w", subject, err)
	}
	return token, nil
}
