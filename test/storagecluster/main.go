// Command storagecluster is a storage cluster on loopback: the OpenStorage SDK
// server with authentication, roles and ownership on, over the in-memory "fake"
// volume driver. It stands in for Portworx in tests and in the demo.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	var cfg config
	flag.StringVar(&cfg.dir, "dir", "", "folder for audit.log and access.log")
	flag.StringVar(&cfg.sdkAddress, "sdk-address", "127.0.0.1:9020", "host:port of the SDK gRPC server")
	flag.StringVar(&cfg.sdkSocket, "sdk-socket", "", "unix socket of the SDK gRPC server")
	flag.StringVar(&cfg.restPort, "rest-port", "9021", "port of the REST gateway, which listens on all interfaces: openstorage offers no other way")
	flag.StringVar(&cfg.gossipPort, "gossip-port", "9002", "port that the cluster manager gossips on")
	flag.StringVar(&cfg.ip, "ip", "127.0.0.1", "management and data address of the one node")
	flag.StringVar(&cfg.clusterID, "cluster-id", "", "id of the storage cluster, also the issuer of its internal tokens")
	flag.StringVar(&cfg.systemSecretFile, "system-secret-file", "", "file with the secret that signs internal tokens")
	flag.Var(&cfg.jwts, "jwt", "a self-signed issuer: ISSUER,KIND=FILE[,KIND=FILE...], kinds ec and rsa (public key in PEM) and secret (shared secret); repeatable")
	flag.Var(&cfg.oidcs, "oidc", "an OIDC issuer: URL[,CLIENT-ID], where the client id is the audience wanted in tokens; repeatable")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, cfg); err != nil {
		fmt.Fprintln(os.Stderr, "storagecluster:", err)
		os.Exit(1) //nolint:gocritic // stop only restores signal handling, which ends here anyway
	}
}
