package issuer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"

	"github.com/bulkhead-dev/bulkhead/storage"
)

// bootstrapRetry is how often a start-up bootstrap is tried.
const bootstrapRetry = 10 * time.Second

// Setup is what a storage admin wants of the storage cluster.
type Setup struct {
	// AdminTokenFile holds a token of a storage admin: role system.admin, group *.
	AdminTokenFile string
	// DisableGuest takes all rights from calls without a token.
	DisableGuest bool
}

// Minting is what a bootstrap needs to prove that tokens work: everything that
// decides how they look.
type Minting struct {
	// KeysDir and TokenIssuer are those of the server.
	KeysDir, TokenIssuer string
	// StorageCluster is the audience.
	StorageCluster string
	// Backdate is that of the server.
	Backdate time.Duration
}

// Bootstrap makes or repairs Bulkhead's roles, reports guest access and turns it
// off if told to, and, if it knows how tokens are minted, proves that a fresh
// one is accepted by each endpoint and that one of a stranger's key is not. It
// may be repeated. Lines for people go to out.
func Bootstrap(ctx context.Context, endpoints []*storage.Client, setup Setup, minting *Minting, out io.Writer) error {
	if len(endpoints) == 0 {
		return errors.New("no SDK endpoint of the storage cluster")
	}
	token, err := os.ReadFile(setup.AdminTokenFile)
	if err != nil {
		return fmt.Errorf("admin token: %w", err)
	}
	// Roles and guest access are the whole cluster's: one endpoint serves.
	admin := storage.WithToken(ctx, strings.TrimSpace(string(token)))
	first := endpoints[0]
	if err := first.EnsureRoles(admin); err != nil {
		return err
	}
	fmt.Fprintf(out, "roles %s and %s are in place\n", storage.TenantRole, storage.InspectRole)
	if setup.DisableGuest {
		if err := first.DisableGuest(admin); err != nil {
			return err
		}
	}
	open, err := first.GuestAccess(ctx)
	switch {
	case err != nil:
		return err
	case open && setup.DisableGuest:
		return errors.New("guest access is still on")
	case open:
		fmt.Fprintln(out, "WARNING: guest access is on: every volume without an owner is open to all; turn it off with --disable-guest")
	default:
		fmt.Fprintln(out, "guest access is off")
	}
	if minting == nil {
		return nil
	}
	for _, endpoint := range endpoints {
		if err := minting.prove(ctx, endpoint); err != nil {
			return err
		}
	}
	fmt.Fprintln(out, "a fresh token is accepted, and one of a stranger's key is not")
	return nil
}

// prove mints a token with the key that signs and one with a key that nobody
// knows, and shows both to the endpoint.
func (m *Minting) prove(ctx context.Context, endpoint *storage.Client) error {
	files, err := DirStore(m.KeysDir).Load(ctx)
	if err != nil {
		return err
	}
	ring, err := parseKeys(files)
	if err != nil {
		return err
	}
	own := &minter{issuer: m.TokenIssuer, backdate: m.Backdate, keys: func() *keyRing { return ring }, now: time.Now}
	token, err := own.probeToken(ring.signing(time.Now()), m.StorageCluster)
	if err != nil {
		return err
	}
	if err := endpoint.Accepts(ctx, token); err != nil {
		return fmt.Errorf("the storage cluster refuses our token: does it trust the issuer %s, with %s as client id? %w", m.TokenIssuer, m.StorageCluster, err)
	}
	pem, err := generate("ES256")
	if err != nil {
		return err
	}
	foreign, err := parseKeys(map[string][]byte{"stranger" + pemEnding: pem})
	if err != nil {
		return err
	}
	stranger := &minter{issuer: m.TokenIssuer, backdate: m.Backdate, keys: func() *keyRing { return foreign }, now: time.Now}
	if token, err = stranger.probeToken(foreign.signing(time.Now()), m.StorageCluster); err != nil {
		return err
	}
	switch err := endpoint.Accepts(ctx, token); status.Code(err) {
	case codes.Unauthenticated, codes.PermissionDenied:
		return nil
	case codes.OK:
		return errors.New("the storage cluster accepts a token of a key that nobody published: it does not verify signatures")
	default:
		return fmt.Errorf("whether the storage cluster refuses a stranger's token is not known: %w", err)
	}
}

// bootstrap tries until the storage cluster is set up: it starts after the
// issuer, whose keys it reads when it does.
func (s *server) bootstrap(ctx context.Context) {
	minting := &Minting{
		KeysDir: s.cfg.KeysDir, TokenIssuer: s.cfg.TokenIssuer, Backdate: s.cfg.Backdate,
		StorageCluster: s.policy.current.Load().StorageCluster,
	}
	_ = wait.PollUntilContextCancel(ctx, bootstrapRetry, true, func(ctx context.Context) (bool, error) {
		var report strings.Builder
		if err := Bootstrap(ctx, s.endpoints, *s.cfg.Bootstrap, minting, &report); err != nil {
			klog.FromContext(ctx).Info("The storage cluster is not set up yet; will try again", "err", err)
			return false, nil
		}
		klog.FromContext(ctx).Info("The storage cluster is set up", "report", report.String())
		return true, nil
	})
}
