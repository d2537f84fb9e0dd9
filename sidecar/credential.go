package sidecar

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/bulkhead-dev/bulkhead/exchange"
)

// credentialInterval is how often the credential's file is looked at between
// exchanges, each of which reads it anyway.
const credentialInterval = 5 * time.Second

// followCredential reports the state of the credential until ctx ends, and
// calls replaced when the kubelet has written another one.
func followCredential(ctx context.Context, path string, now func() time.Time, s *status, m *metrics, replaced func()) {
	var last exchange.Credential
	wait.UntilWithContext(ctx, func(context.Context) {
		credential, err := exchange.ReadCredential(path, now())
		s.credential(err)
		if !credential.Expires.IsZero() {
			m.credentialExpiry.Set(float64(credential.Expires.Unix()))
			s.ends(credential.Expires)
		}
		if err == nil && credential != last {
			last = credential
			replaced()
		}
	}, credentialInterval)
}
