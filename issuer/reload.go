package issuer

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"k8s.io/klog/v2"
)

// policyCheckInterval is how often the policy file is read. Reading beats
// watching here: a mounted ConfigMap changes by a swap of symlinks.
const policyCheckInterval = time.Second

// policyFile is the policy in force. A bad file never replaces a good one.
type policyFile struct {
	path    string
	raw     []byte
	current atomic.Pointer[Policy]
	metrics *metrics
}

// openPolicy reads the policy for the first time; here a bad file is an error.
func openPolicy(path string, m *metrics) (*policyFile, error) {
	f := &policyFile{path: path, metrics: m}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	p, err := ParsePolicy(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f.raw = raw
	f.use(p)
	return f, nil
}

func (f *policyFile) use(p *Policy) {
	f.current.Store(p)
	f.metrics.policyLoaded.Set(1)
	f.metrics.clusters.Set(float64(len(p.Clusters)))
}

// follow takes over each good version of the file until ctx ends.
func (f *policyFile) follow(ctx context.Context) {
	logger := klog.FromContext(ctx)
	ticker := time.NewTicker(policyCheckInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		raw, err := os.ReadFile(f.path)
		if err == nil && bytes.Equal(raw, f.raw) {
			continue
		}
		var p *Policy
		if err == nil {
			p, err = ParsePolicy(raw)
		}
		if err != nil {
			// Said once for each version of a bad file, not each second.
			if !bytes.Equal(raw, f.raw) || f.raw == nil {
				logger.Error(err, "The policy file is bad; the policy before it stays in force", "path", f.path)
			}
			f.raw = raw
			f.metrics.policyLoaded.Set(0)
			continue
		}
		f.raw = raw
		f.use(p)
		logger.Info("Policy loaded", "path", f.path, "clusters", len(p.Clusters))
	}
}
