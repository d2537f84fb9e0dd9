package cluster

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// Issuers are the replicas of one issuer. They share its keys and its policy, as
// replicas that mount one Secret and one ConfigMap do.
type Issuers struct {
	// URL is the one under which clients reach all replicas, CAFile the PEM file
	// that verifies each.
	URL, CAFile string
	// PolicyFile and KeysDir are what they share; they read both again when they
	// change. FirstKey is the file of the key that signs at first.
	PolicyFile, KeysDir, FirstKey string
	// StorageID is the storage cluster that the tokens are for.
	StorageID string
	Replicas  []*Replica
}

// Replica is one process of an issuer.
type Replica struct {
	*Process
	// Address is host:port of tokens and keys (TLS).
	Address string
	// Disk has the replica's audit log alone, by the name of AuditLog; nil if that
	// goes to standard output.
	Disk *Disk
}

// AuditLog is the name of an audit log on a disk of its own.
const AuditLog = "audit.log"

// IssuersConfig says what StartIssuers starts.
type IssuersConfig struct {
	// URL is the https URL of whatever stands before the replicas.
	URL string
	// Replicas is how many to start.
	Replicas int
	// Clusters are the entries of the policy, as Register returns them.
	Clusters string
	// Announce are the SDK addresses that are told of new keys.
	Announce []string
	// AuditDisk gives each replica a disk of that many bytes for its audit log.
	AuditDisk int64
	// Substitutes run instead of the issuer, by the number of the replica, from 1.
	Substitutes map[int]Substitute
}

// FreeAddresses returns host:port of n free ports on loopback, for what has to
// be known before anything listens there.
func FreeAddresses(n int) ([]string, error) {
	ports, err := freePorts.pick(n)
	if err != nil {
		return nil, err
	}
	addresses := make([]string, n)
	for i, port := range ports {
		addresses[i] = loopback(port)
	}
	return addresses, nil
}

// StartIssuers starts the replicas of an issuer, without a storage cluster. It
// returns when each could mint a token.
func (e *Environment) StartIssuers(ctx context.Context, cfg IssuersConfig) (*Issuers, error) {
	dir, err := makeFolder(filepath.Join(e.Dir, "issuer"))
	if err != nil {
		return nil, err
	}
	s := &Issuers{URL: cfg.URL, StorageID: StorageID}
	certFile, keyFile, err := s.writeCertificate(dir)
	if err != nil {
		return nil, err
	}
	if err := s.writeKey(dir); err != nil {
		return nil, err
	}
	policy, err := yaml.Marshal(map[string]any{
		"storageCluster": s.StorageID,
		"maxLife":        metav1.Duration{Duration: e.cfg.TokenLife},
	})
	if err != nil {
		return nil, fmt.Errorf("write the issuer's policy: %w", err)
	}
	if policy, err = addClusters(policy, []byte(cfg.Clusters)); err != nil {
		return nil, err
	}
	if s.PolicyFile, err = dir.write("policy.yaml", policy); err != nil {
		return nil, err
	}
	for i := range cfg.Replicas {
		began := time.Now()
		addresses, err := FreeAddresses(2)
		if err != nil {
			return nil, err
		}
		r := &Replica{Address: addresses[0]}
		endpoint := "http://" + addresses[1]
		args := []string{
			"serve",
			"--address", r.Address,
			"--http-endpoint", addresses[1],
			"--issuer-url", s.URL,
			"--tls-cert-file", certFile,
			"--tls-key-file", keyFile,
			"--keys-dir", s.KeysDir,
			"--policy-file", s.PolicyFile,
		}
		for _, address := range cfg.Announce {
			args = append(args, "--sdk-address", address)
		}
		name := fmt.Sprintf("issuer-%d", i+1)
		path, args := cfg.Substitutes[i+1].command(e.cfg.Binaries.Issuer, args)
		if cfg.AuditDisk > 0 {
			if r.Disk, err = e.startDisk(ctx, name+"-disk", cfg.AuditDisk); err != nil {
				return nil, err
			}
			path, args = r.Disk.seenBy(path, append(args, "--audit-log", r.Disk.inside(AuditLog)))
		}
		r.Process, err = e.supervisor.start(ctx, spec{
			name: name, path: path, args: args,
			endpoint: endpoint,
			ready:    httpOK(endpoint + "/readyz"),
		})
		if err != nil {
			return nil, err
		}
		s.Replicas = append(s.Replicas, r)
		e.started(r.Name+" of "+s.URL+" at "+r.Address, began)
	}
	return s, nil
}

func (s *Issuers) writeCertificate(dir folder) (certFile, keyFile string, err error) {
	ca, err := newAuthority("issuer CA")
	if err != nil {
		return "", "", err
	}
	if s.CAFile, err = dir.write("issuer-ca.pem", ca.pem); err != nil {
		return "", "", err
	}
	certPEM, keyPEM, err := ca.server()
	if err != nil {
		return "", "", err
	}
	if certFile, err = dir.write("issuer.pem", certPEM); err != nil {
		return "", "", err
	}
	keyFile, err = dir.write("issuer-key.pem", keyPEM)
	return certFile, keyFile, err
}

func (s *Issuers) writeKey(dir folder) error {
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
	s.KeysDir = string(keys)
	s.FirstKey, err = keys.write("first.pem", signingPEM)
	return err
}

// StartStorageNode starts the storage cluster alone, with its SDK at that
// address, where an issuer runs elsewhere. Several environments, each with its
// own, have as many processes that cache the issuer's keys each for itself; they
// share no volumes.
func (e *Environment) StartStorageNode(ctx context.Context, issuers *Issuers, address string) error {
	if e.Storage != nil {
		return errors.New("start the storage cluster: it runs already")
	}
	dir, err := makeFolder(filepath.Join(e.Dir, "storage"))
	if err != nil {
		return err
	}
	ports, err := freePorts.pick(5)
	if err != nil {
		return err
	}
	s := &Storage{
		ID: issuers.StorageID, SDKAddress: address,
		IssuerURL: issuers.URL, IssuerCAFile: issuers.CAFile,
		PolicyFile: issuers.PolicyFile, KeysDir: issuers.KeysDir,
	}
	if err := e.startStorageServer(ctx, s, dir, ports); err != nil {
		return err
	}
	e.Storage = s
	return nil
}
