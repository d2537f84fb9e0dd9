package cluster

import (
	"fmt"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// UserKubeconfig writes a kubeconfig of a user who shows a client certificate of
// the cluster's CA, and returns its path. The name is the file's, without
// ".kubeconfig".
func (c *Compute) UserKubeconfig(name, user string, groups ...string) (path string, err error) {
	certPEM, keyPEM, err := c.authority.client(user, groups...)
	if err != nil {
		return "", err
	}
	path = c.dir.path(name + ".kubeconfig")
	return path, writeKubeconfig(path, c.Name, c.server, c.authority.pem,
		&clientcmdapi.AuthInfo{ClientCertificateData: certPEM, ClientKeyData: keyPEM})
}

// clientFiles writes certificate and key of a user into files.
func (c *Compute) clientFiles(name, user string, groups ...string) (certFile, keyFile string, err error) {
	certPEM, keyPEM, err := c.authority.client(user, groups...)
	if err != nil {
		return "", "", err
	}
	if certFile, err = c.dir.write(name+".pem", certPEM); err != nil {
		return "", "", err
	}
	keyFile, err = c.dir.write(name+"-key.pem", keyPEM)
	return certFile, keyFile, err
}

// ServerCertificate returns certificate and key, in PEM, of a server that is known
// by names and addresses; the cluster's CA verifies it.
func (c *Compute) ServerCertificate(names ...string) (certPEM, keyPEM []byte, err error) {
	return c.authority.server(names...)
}

// CAFile is the path of the cluster's CA, in PEM.
func (c *Compute) CAFile() string { return c.dir.path("ca.pem") }

// writeKubeconfig writes a kubeconfig with one cluster, one user and one
// context, each named after the compute cluster.
func writeKubeconfig(path, cluster, server string, ca []byte, user *clientcmdapi.AuthInfo) error {
	config := clientcmdapi.NewConfig()
	config.Clusters[cluster] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: ca}
	config.AuthInfos[cluster] = user
	config.Contexts[cluster] = &clientcmdapi.Context{Cluster: cluster, AuthInfo: cluster}
	config.CurrentContext = cluster
	raw, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("write kubeconfig of %s: %w", cluster, err)
	}
	return replaceFile(path, raw)
}
