package cluster

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// Kubectl runs kubectl as an admin, with that input, and returns all it said,
// which an error has too.
func (c *Compute) Kubectl(ctx context.Context, stdin string, args ...string) (output string, err error) {
	cmd := exec.CommandContext(ctx, c.env.cfg.Binaries.Kubectl, append([]string{"--kubeconfig", c.Kubeconfig}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	said, err := cmd.CombinedOutput()
	if err != nil {
		return string(said), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, said)
	}
	return string(said), nil
}
