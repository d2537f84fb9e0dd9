package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/libopenstorage/openstorage/api/server/sdk"
	"github.com/libopenstorage/openstorage/cluster"
	clustermanager "github.com/libopenstorage/openstorage/cluster/manager"
	openstorage "github.com/libopenstorage/openstorage/config"
	"github.com/libopenstorage/openstorage/objectstore"
	"github.com/libopenstorage/openstorage/pkg/auth"
	"github.com/libopenstorage/openstorage/pkg/auth/systemtoken"
	"github.com/libopenstorage/openstorage/pkg/role"
	"github.com/libopenstorage/openstorage/pkg/sched"
	"github.com/libopenstorage/openstorage/pkg/storagepolicy"
	"github.com/libopenstorage/openstorage/schedpolicy"
	volumedrivers "github.com/libopenstorage/openstorage/volume/drivers"
	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/mem"
	"github.com/sirupsen/logrus"
)

const (
	nodeID     = "node-1"
	driverName = "fake"
)

type config struct {
	dir, sdkAddress, sdkSocket, restPort, gossipPort, ip, clusterID, systemSecretFile string
	jwts, oidcs                                                                       repeated
}

// repeated is a flag that may be given several times.
type repeated []string

func (r *repeated) String() string     { return strings.Join(*r, " ") }
func (r *repeated) Set(s string) error { *r = append(*r, s); return nil }

func (c config) validate() error {
	switch {
	case c.dir == "":
		return errors.New("no -dir")
	case c.sdkSocket == "":
		return errors.New("no -sdk-socket")
	case c.clusterID == "":
		return errors.New("no -cluster-id")
	case c.systemSecretFile == "":
		return errors.New("no -system-secret-file")
	case len(c.jwts)+len(c.oidcs) == 0:
		return errors.New("no -jwt and no -oidc: without an issuer security would be off")
	}
	return nil
}

// run serves until ctx ends.
func run(ctx context.Context, cfg config) error {
	if err := cfg.validate(); err != nil {
		return err
	}
	if err := os.MkdirAll(cfg.dir, 0o700); err != nil {
		return fmt.Errorf("make the state folder: %w", err)
	}
	store, err := kvdb.New(mem.Name, "openstorage", nil, nil, kvdb.LogFatalErrorCB)
	if err != nil {
		return fmt.Errorf("make the key-value store: %w", err)
	}
	if err := kvdb.SetInstance(store); err != nil {
		return fmt.Errorf("use the key-value store: %w", err)
	}
	authenticators, err := cfg.authenticators()
	if err != nil {
		return err
	}
	manager, err := cfg.clusterManager(authenticators)
	if err != nil {
		return err
	}
	server, err := cfg.sdkServer(store, manager, authenticators)
	if err != nil {
		return err
	}
	if err := server.Start(); err != nil {
		return fmt.Errorf("start the SDK server: %w", err)
	}
	defer server.Stop()
	err = manager.StartWithConfiguration(false, cfg.gossipPort, []string{}, "", &cluster.ClusterServerConfiguration{
		ConfigSchedManager:       schedpolicy.NewFakeScheduler(),
		ConfigObjectStoreManager: objectstore.NewfakeObjectstore(),
		ConfigSystemTokenManager: auth.SystemTokenManagerInst(),
	})
	if err != nil {
		return fmt.Errorf("start the cluster manager: %w", err)
	}
	logrus.Infof("ready: SDK on %s, %d issuers", cfg.sdkAddress, len(authenticators))
	<-ctx.Done()
	return nil
}

// authenticators are the issuers that the flags name, by the `iss` of their
// tokens.
func (c config) authenticators() (map[string]auth.Authenticator, error) {
	issuers := map[string]auth.Authenticator{}
	for _, flag := range c.jwts {
		name, keys, _ := strings.Cut(flag, ",")
		jwt := &auth.JwtAuthConfig{UsernameClaim: auth.UsernameClaimTypeSubject}
		for key := range strings.SplitSeq(keys, ",") {
			kind, file, _ := strings.Cut(key, "=")
			content, err := os.ReadFile(file)
			if err != nil {
				return nil, fmt.Errorf("issuer %s: %w", name, err)
			}
			switch kind {
			case "ec":
				jwt.ECDSPublicPem = content
			case "rsa":
				jwt.RsaPublicPem = content
			case "secret":
				jwt.SharedSecret = content
			default:
				return nil, fmt.Errorf("issuer %s: unknown kind of key %q, want ec, rsa or secret", name, kind)
			}
		}
		var err error
		if issuers[name], err = auth.NewJwtAuth(jwt); err != nil {
			return nil, fmt.Errorf("issuer %s: %w", name, err)
		}
	}
	for _, flag := range c.oidcs {
		url, client, checked := strings.Cut(flag, ",")
		var err error
		issuers[url], err = auth.NewOIDC(&auth.OIDCAuthConfig{
			Issuer: url, ClientID: client, SkipClientIDCheck: !checked,
			UsernameClaim: auth.UsernameClaimTypeSubject,
		})
		if err != nil {
			return nil, fmt.Errorf("issuer %s: %w", url, err)
		}
	}
	return issuers, nil
}

// clusterManager makes the one-node cluster and adds the issuer of its internal
// tokens, which openstorage's own daemon leaves out.
func (c config) clusterManager(issuers map[string]auth.Authenticator) (cluster.Cluster, error) {
	raw, err := os.ReadFile(c.systemSecretFile)
	if err != nil {
		return nil, fmt.Errorf("read the system secret: %w", err)
	}
	secret := strings.TrimSpace(string(raw))
	tokens, err := systemtoken.NewManager(&systemtoken.Config{ClusterId: c.clusterID, NodeId: nodeID, SharedSecret: secret})
	if err != nil {
		return nil, fmt.Errorf("signer of system tokens: %w", err)
	}
	auth.InitSystemTokenManager(tokens)
	if issuers[c.clusterID], err = tokens.GetAuthenticator(); err != nil {
		return nil, fmt.Errorf("verifier of system tokens: %w", err)
	}
	err = clustermanager.Init(openstorage.ClusterConfig{
		ClusterId: c.clusterID, NodeId: nodeID, MgmtIp: c.ip, DataIp: c.ip, SystemSharedSecret: secret,
	})
	if err != nil {
		return nil, fmt.Errorf("make the cluster manager: %w", err)
	}
	manager, err := clustermanager.Inst()
	if err != nil {
		return nil, fmt.Errorf("make the cluster manager: %w", err)
	}
	return manager, nil
}

func (c config) sdkServer(store kvdb.Kvdb, manager cluster.Cluster, issuers map[string]auth.Authenticator) (*sdk.Server, error) {
	if err := volumedrivers.Register(driverName, map[string]string{}); err != nil {
		return nil, fmt.Errorf("register the volume driver: %w", err)
	}
	sched.Init(time.Second)
	policies, err := storagepolicy.Init()
	if err != nil {
		return nil, fmt.Errorf("make the storage policies: %w", err)
	}
	roles, err := role.NewSdkRoleManager(store)
	if err != nil {
		return nil, fmt.Errorf("make the roles: %w", err)
	}
	audit, err := openLog(filepath.Join(c.dir, "audit.log"))
	if err != nil {
		return nil, err
	}
	access, err := openLog(filepath.Join(c.dir, "access.log"))
	if err != nil {
		return nil, err
	}
	server, err := sdk.New(&sdk.ServerConfig{
		Net: "tcp", Address: c.sdkAddress, RestPort: c.restPort,
		Socket: c.sdkSocket, DriverName: driverName, Cluster: manager, StoragePolicy: policies,
		AuditOutput: audit, AccessOutput: access,
		Security: &sdk.SecurityConfig{Role: roles, Authenticators: issuers},
	})
	if err != nil {
		return nil, fmt.Errorf("make the SDK server: %w", err)
	}
	return server, nil
}

func openLog(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return file, nil
}
