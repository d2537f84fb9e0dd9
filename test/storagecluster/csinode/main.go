// Command csinode is the CSI endpoint of one compute cluster: OpenStorage's CSI
// server, which passes each call with its token on to the SDK socket of the
// storage cluster. It reads claims through KUBECONFIG and copies their labels
// and annotations into the volume's parameters, as Portworx does.
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
	flag.StringVar(&cfg.sdkSocket, "sdk-socket", "", "unix socket of the storage cluster's SDK server")
	flag.StringVar(&cfg.csiSocket, "csi-socket", "", "unix socket to serve CSI on")
	flag.StringVar(&cfg.clusterID, "cluster-id", "", "id of the storage cluster")
	flag.StringVar(&cfg.nodeID, "node-id", "", "id of this node in the storage cluster")
	flag.StringVar(&cfg.driverName, "driver-name", "pxd.portworx.com", "name of the CSI driver")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, cfg); err != nil {
		fmt.Fprintln(os.Stderr, "csinode:", err)
		os.Exit(1) //nolint:gocritic // stop only restores signal handling, which ends here anyway
	}
}
