package cluster

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

const (
	// serviceAccountTokenLife is the kubelet's default.
	serviceAccountTokenLife = time.Hour
	renewalRetry            = 5 * time.Second
)

// ServiceAccountToken writes a token of the ServiceAccount to a file of the run
// folder and replaces it after 80 % of its life until the environment stops, as
// a kubelet does with a projected volume. An empty audience means the API
// server. The ServiceAccount must exist.
func (c *Compute) ServiceAccountToken(ctx context.Context, namespace, name, audience string) (file string, err error) {
	use := "api"
	if audience != "" {
		use = hash([]byte(audience))
	}
	file = c.dir.path(fmt.Sprintf("token-%s-%s-%s", namespace, name, use))
	life, err := c.writeToken(ctx, namespace, name, audience, file)
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.renewed[file] {
		return file, nil
	}
	c.renewed[file] = true
	c.env.renewal.Go(func() { c.renew(namespace, name, audience, file, life) })
	return file, nil
}

func (c *Compute) renew(namespace, name, audience, file string, life time.Duration) {
	const renewAt = 0.8
	wait := time.Duration(float64(life) * renewAt)
	for {
		select {
		case <-c.env.life.Done():
			return
		case <-time.After(wait):
		}
		life, err := c.writeToken(c.env.life, namespace, name, audience, file)
		wait = time.Duration(float64(life) * renewAt)
		if err != nil {
			// The component that reads the file will say so when it fails; until
			// the old token's end there is time to try again.
			wait = renewalRetry
		}
	}
}

func (c *Compute) writeToken(ctx context.Context, namespace, name, audience, file string) (life time.Duration, err error) {
	seconds := int64(serviceAccountTokenLife / time.Second)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	if audience != "" {
		request.Spec.Audiences = []string{audience}
	}
	began := time.Now()
	answer, err := c.Client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, request, metav1.CreateOptions{})
	if err != nil {
		return 0, fmt.Errorf("ask %s for a token of ServiceAccount %s/%s: %w", c.Name, namespace, name, err)
	}
	if err := replaceFile(file, []byte(answer.Status.Token)); err != nil {
		return 0, err
	}
	return answer.Status.ExpirationTimestamp.Sub(began), nil
}

// serviceAccountKubeconfig writes a kubeconfig of the ServiceAccount, given as
// namespace/name, with a token that is renewed.
func (c *Compute) serviceAccountKubeconfig(ctx context.Context, account string) (path string, err error) {
	namespace, name, _ := strings.Cut(account, "/")
	token, err := c.ServiceAccountToken(ctx, namespace, name, "")
	if err != nil {
		return "", err
	}
	path = c.dir.path(namespace + "-" + name + ".kubeconfig")
	return path, writeKubeconfig(path, c.Name, c.server, c.authority.pem, &clientcmdapi.AuthInfo{TokenFile: filepath.Clean(token)})
}
