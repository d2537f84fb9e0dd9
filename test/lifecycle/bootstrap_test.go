package lifecycle

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/libopenstorage/openstorage/api"

	"github.com/bulkhead-dev/bulkhead/issuer"
	"github.com/bulkhead-dev/bulkhead/storage"
	"github.com/bulkhead-dev/bulkhead/test/actors"
)

func bootstrap(t *testing.T, setup issuer.Setup, change func(*issuer.Minting)) (report string, err error) {
	t.Helper()
	s := stage.Env.Storage
	client, err := s.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	if setup.AdminTokenFile == "" {
		setup.AdminTokenFile = s.AdminTokenFile
	}
	minting := &issuer.Minting{KeysDir: s.KeysDir, TokenIssuer: s.IssuerURL, StorageCluster: s.ID, Backdate: issuer.DefaultBackdate}
	if change != nil {
		change(minting)
	}
	var out strings.Builder
	err = issuer.Bootstrap(t.Context(), []*storage.Client{client}, setup, minting, &out)
	return out.String(), err
}

// widen gives a role of the storage cluster every right on volumes, as somebody
// in a hurry would.
func widen(t *testing.T, role string) {
	t.Helper()
	ctx, err := stage.Env.Storage.AsAdmin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	client, err := stage.Env.Storage.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	if _, err := api.NewOpenStorageRoleClient(client.Conn()).Update(ctx, &api.SdkRoleUpdateRequest{Role: &api.SdkRole{
		Name: role, Rules: []*api.SdkRule{{Services: []string{"volume"}, Apis: []string{"*"}}},
	}}); err != nil {
		t.Fatal(err)
	}
}

func TestBootstrapRepairsRolesAndCanBeRepeated(t *testing.T) {
	want, err := stage.Storage.Role(t.Context(), storage.TenantRole)
	if err != nil {
		t.Fatal(err)
	}
	widen(t, storage.TenantRole)
	for range 2 {
		report, err := bootstrap(t, issuer.Setup{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range []string{"are in place", "guest access is off", "a stranger's key is not"} {
			if !strings.Contains(report, line) {
				t.Errorf("the report lacks %q: %s", line, report)
			}
		}
	}
	got, err := stage.Storage.Role(t.Context(), storage.TenantRole)
	if err != nil || strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the role is %q, %v; want %q", got, err, want)
	}
}

func TestBootstrapReportsGuestAccessAndTurnsItOffWhenTold(t *testing.T) {
	widen(t, "system.guest")
	report, err := bootstrap(t, issuer.Setup{}, nil)
	if err != nil || !strings.Contains(report, "WARNING: guest access is on") {
		t.Errorf("%v, report: %s", err, report)
	}
	report, err = bootstrap(t, issuer.Setup{DisableGuest: true}, nil)
	if err != nil || !strings.Contains(report, "guest access is off") {
		t.Errorf("%v, report: %s", err, report)
	}
	guest, err := actors.NewBearer(stage.Env.Storage, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := actors.Refused(guest.Inspect(t.Context(), "any")); err != nil {
		t.Errorf("a call without a token: %v", err)
	}
}

func TestBootstrapFailsClearly(t *testing.T) {
	none := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(none, []byte("not-a-token"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := bootstrap(t, issuer.Setup{AdminTokenFile: none}, nil); err == nil || strings.Contains(err.Error(), "not-a-token") {
		t.Errorf("with a wrong admin token: %v", err)
	}
	_, err := bootstrap(t, issuer.Setup{}, func(m *issuer.Minting) { m.TokenIssuer = "https://issuer.of-nobody.example" })
	if err == nil || !strings.Contains(err.Error(), "does it trust the issuer") {
		t.Errorf("with an issuer that the storage cluster does not trust: %v", err)
	}
}
